"""What `srlongtail` prints without arguments: what one can do first."""

from srlongtail import __version__

FIRST_STEPS = """\
srlongtail {version}: see where a super-resolution network fails. What you can do first:
  srlongtail figures                            the paper's figures, from built-in photos (1 minute)
  srlongtail evaluate fsrcnn-fpl-x4 bicubic     PSNR and SSIM of a shipped network
  srlongtail attribute fsrcnn-fpl-x4 astronaut  the LR pixels that it uses in a photo
  srlongtail inspect mine_x4.pth                what your checkpoint is, and how it is read
  srlongtail histogram mine_x4.pth --data DIR   how much of its error lies in the tail
  srlongtail compare fsrcnn-x4 mine_x4.pth      where it gains over another network
  srlongtail train --list                       recipes to train networks with
Shipped networks: srlongtail zoo list. Without --data, commands use four built-in photos.
All commands: srlongtail --help. Options of one: srlongtail COMMAND --help."""


def first_steps() -> str:
    """Return ten lines that name the first commands to try.

    >>> len(first_steps().splitlines())
    10
    """
    return FIRST_STEPS.format(version=__version__)
