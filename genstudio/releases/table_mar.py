"""Official tensor names of MAR (arXiv 2406.11838)."""

from genstudio.configs.mar import MARConfig
from genstudio.releases.rename import Rename, Table


def mar_table(config: MARConfig) -> Table:
    """Names of encoder, decoder and diffusion head; no file holds a buffer."""
    del config
    head = denoiser_renames("head.", "diffloss.net.")
    return Table((*ENDS, *_blocks("encoder"), *_blocks("decoder"), *head))


def denoiser_renames(ours: str, official: str) -> tuple[Rename, ...]:
    """Names of the diffusion head below a prefix of each side ("denoiser.", "diffloss.net.")."""
    # The 1 and the 2 are places around a SiLU in an official nn.Sequential.
    pairs = (
        ("time_embed.fc1.*", "time_embed.mlp.0.*"),
        ("time_embed.fc2.*", "time_embed.mlp.2.*"),
        ("cond_embed.*", "cond_embed.*"),
        ("input_proj.*", "input_proj.*"),
        ("blocks.{n}.norm.*", "res_blocks.{n}.in_ln.*"),
        ("blocks.{n}.fc1.*", "res_blocks.{n}.mlp.0.*"),
        ("blocks.{n}.fc2.*", "res_blocks.{n}.mlp.2.*"),
        ("blocks.{n}.adaln.linear.*", "res_blocks.{n}.adaLN_modulation.1.*"),
        ("final_adaln.linear.*", "final_layer.adaLN_modulation.1.*"),
        ("output_proj.*", "final_layer.linear.*"),
    )
    return tuple(Rename(ours + one, official + other) for one, other in pairs)


ENDS = (
    Rename("class_embed.weight", "class_emb.weight"),
    Rename("null_class", "fake_latent"),
    Rename("token_embed.*", "z_proj.*"),
    Rename("embed_norm.*", "z_proj_ln.*"),
    Rename("encoder_pos", "encoder_pos_embed_learned"),
    Rename("encoder_norm.*", "encoder_norm.*"),
    Rename("decoder_embed.*", "decoder_embed.*"),
    Rename("mask_token", "mask_token"),
    Rename("decoder_pos", "decoder_pos_embed_learned"),
    Rename("decoder_norm.*", "decoder_norm.*"),
    Rename("head_pos", "diffusion_pos_embed_learned"),
)


def _blocks(side: str) -> tuple[Rename, ...]:
    block = f"{side}_blocks.{{n}}."
    return tuple(Rename(f"{block}{part}.*", f"{block}{part}.*") for part in ("norm1", "attn", "norm2", "mlp"))
