"""What `vesalius guide` says at its end."""

from __future__ import annotations

from rich.table import Table

from vesalius.data.knowledge_maps import KnowledgeMaps

__all__ = ["summary_table"]


def summary_table(maps: KnowledgeMaps) -> Table:
    """Lay out how many images are guided, why others are not, and how the figures of quality spread."""
    table = Table(title=f"{maps.path.name}: {maps.info['template']} maps of {maps.info['store']['name']}")
    table.add_column("")
    table.add_column("images", justify="right")
    quality = maps.quality
    table.add_row("images", f"{len(quality):,}")
    table.add_row("guided", f"{int(quality['guided'].sum()):,}")
    for reason, count in quality.loc[~quality["guided"], "reason"].value_counts().items():
        table.add_row(f"  left unguided: {reason}", f"{count:,}")
    for name in ("similarity", "folding", "overlap", "smallest_part"):
        if name in quality:
            low, middle, high = quality[name].quantile([0.05, 0.5, 0.95])
            table.add_row(f"{name}: median (5 to 95 %)", f"{middle:.3f} ({low:.3f} to {high:.3f})")
    segmenter = maps.info["plan"].get("segmenter")
    if segmenter:
        held_out = segmenter["validation"]
        table.add_row("segmenter", str(segmenter["architecture"]))
        table.add_row(
            "  learned from", f"{segmenter['trained_on']['store']}, {segmenter['trained_on']['images']:,} images"
        )
        for part, dice in held_out["dice"].items():
            shown = "not shown" if dice is None else f"{dice:.3f}"
            table.add_row(f"  Dice of {part}, {held_out['images']} images held out", shown)
    return table
