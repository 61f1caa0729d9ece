"""Official tensor names of MAR (arXiv 2406.11838)."""

from genstudio.releases.rename import Rename


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
