"""What the mover's model says of a transfer that was made."""

from __future__ import annotations

from netprobe.batch_model import PathModel, batch_seconds, summed_seconds
from netprobe.measurement import Measurement


def modelled_seconds(transfer: Measurement, path: PathModel) -> float:
    """By the sizes of its files where these were written down, else by their sum."""
    sizes = transfer.parameters.get("sizes")
    if sizes:
        return batch_seconds([size for count, size in sizes for _ in range(count)], path)
    files = max(int(transfer.figures.get("files", 1.0)), 1)
    return summed_seconds(transfer.figures["size_bytes"], files, path)
