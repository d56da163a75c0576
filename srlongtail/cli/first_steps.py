"""What `srlongtail` prints without arguments: what one can do first."""

import srlongtail

FIRST_STEPS = """\
srlongtail {version}: see where a super-resolution (SR) network fails. First steps:
  srlongtail demo                            analyze a shipped network, open the page (20 seconds)
  srlongtail figures                         the paper's figures, from built-in photos (1 minute)
  srlongtail inspect mine_x4.pth             what your checkpoint is, and how it is read
  srlongtail analyze mine_x4.pth --data DIR  a page on what it is, and where it fails
  srlongtail compare fsrcnn-x4 mine_x4.pth   where it gains over another network
  srlongtail doctor mine_x4.pth --data DIR --claimed 29.00   why your PSNR is not the paper's
  srlongtail losses                          which losses beat L1 (yours: srlongtail ablate losses)
Without --data, commands use four built-in photos. Shipped networks: srlongtail zoo list; recipes to
train: srlongtail train --list; all commands: srlongtail --help; one: srlongtail COMMAND --help."""


def first_steps() -> str:
    """Return ten lines that name the first commands to try.

    >>> len(first_steps().splitlines())
    10
    """
    return FIRST_STEPS.format(version=srlongtail.__version__)
