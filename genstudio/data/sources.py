"""Where pictures come from: one function that opens any source by its name."""

from pathlib import Path

from genstudio.data.pictures import Pictures, Split
from genstudio.errors import GenstudioError


def open_pictures(spec: str, split: Split, pixels: int, channels: int) -> Pictures:
    """Open the source that `spec` names, at `pixels` x `pixels` with 1 (grey) or 3 (RGB) `channels`.

    `spec` is `fashion`, `emoji`, either with a folder of its files behind a colon, or a folder of pictures
    (`class/file`). Raises GenstudioError when the data is missing, unreadable or does not fit the size.
    """
    if channels not in (1, 3):
        raise GenstudioError(f"Pictures have 1 or 3 channels, not {channels}.", "Set channels to 1 or 3.")
    name, _, rest = spec.partition(":")
    folder = Path(rest).expanduser() if rest else None
    if name == "fashion":
        from genstudio.data.fashion import open_fashion

        return open_fashion(folder, split, pixels, channels)
    if name == "emoji":
        from genstudio.data.emoji import open_emoji

        return open_emoji(folder, split, pixels, channels)
    from genstudio.data.folder import open_folder

    return open_folder(Path(spec).expanduser(), split, pixels, channels)
