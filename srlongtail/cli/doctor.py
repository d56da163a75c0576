"""The command that finds out which conventions a PSNR was measured by."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from srlongtail.cli.options import (
    NO_FOLDER_OPTIONS,
    NO_MODEL_OPTIONS,
    Folders,
    Models,
    OneModel,
)
from srlongtail.errors import InputError

if TYPE_CHECKING:
    from srlongtail.diagnosis.doctor import Diagnosis

_COLUMNS = 100


def doctor(
    model: OneModel,
    /,
    *,
    claimed: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="PSNR [SSIM]", help_behavior_hint="")
    ] = (),
    departures: Annotated[int, tyro.conf.arg(metavar="N")] = 2,
    out: Path | None = None,
    data_options: Folders = NO_FOLDER_OPTIONS,
    model_options: Models = NO_MODEL_OPTIONS,
) -> None:
    """Find the conventions behind a PSNR: how far each moves it, and which give a claimed one.

    Args:
        model: name of a shipped network, checkpoint file, model card, or folder of SR images.
        claimed: PSNR, and SSIM if known, to reproduce, with the digits as printed: 29.00 0.8565.
        departures: largest number of conventions in which to depart from a protocol; the search
            stops earlier at the first match.
        out: JSON file to write the matches and the table to.
    """
    from srlongtail.diagnosis.doctor import Claim, diagnose
    from srlongtail.provenance import provenance
    from srlongtail.results import write_record

    if len(claimed) > 2:
        raise InputError(f"--claimed {' '.join(claimed)}: expected PSNR, or PSNR and SSIM")
    if departures < 0:
        raise InputError(f"--departures {departures}, expected 0 or more")
    claim = Claim.parse(*claimed) if claimed else None
    (loaded,) = model_options.load_any((model,), data_options)
    data = data_options.open_one(loaded.scale)
    result = diagnose(
        loaded, data, claim, most_departures=departures, skip_bad=data_options.skip_bad
    )
    for paragraph in result.message().splitlines():
        print(textwrap.fill(paragraph, _COLUMNS, subsequent_indent="  "))
    print()
    print(_table(result))
    if result.nearest and not result.matches:
        print("\nNearest to the claim:")
        for near in result.nearest:
            text = f"{near.score.psnr_db:.3f} dB / {near.score.ssim:.4f}  {near}"
            print(textwrap.fill(text, _COLUMNS, subsequent_indent=" " * 21))
    if out is not None:
        record = provenance([loaded], [data], **result.settings())
        print(write_record(out, {**result.record(), **record}))


def _table(result: "Diagnosis") -> str:
    """Return how far each convention moves PSNR and SSIM, with the protocols side by side."""
    from srlongtail.diagnosis.conventions import AXES

    table = result.frame()
    rows = {(row["protocol"], row["convention"], row["value"]): row for _, row in table.iterrows()}
    named = sorted(
        {(row["convention"], row["value"]): row["words"] for row in rows.values()}.items(),
        key=lambda item: ("", *AXES).index(item[0][0]),
    )
    lines = [
        f"{'':<36}" + "".join(f"{f'{name} protocol':>31} " for name in result.protocols),
        f"{'':<36}" + f"{'PSNR':>8}{'change':>8}{'SSIM':>7}{'change':>8} " * len(result.protocols),
    ]
    base = "".join(
        f"{s.score.psnr_db:8.3f}{'':8}{s.score.ssim:7.4f}{'':8} " for s in result.protocols.values()
    )
    lines.append(f"{'the protocol as it stands':<36}{base}")
    for (convention, value), words in named:
        cells = ""
        for name in result.protocols:
            row = rows.get((name, convention, value))
            if row is None:
                cells += f"{'as in the protocol':>31} "
                continue
            cells += (
                f"{row['psnr_db']:8.3f}{row['psnr_change_db']:+8.3f}"
                f"{row['ssim']:7.4f}{row['ssim_change']:+8.4f}{'=' if row['reproduces'] else ' '}"
            )
        if convention:
            lines.append(f"{words:<36}{cells}")
    return "\n".join(line.rstrip() for line in lines)
