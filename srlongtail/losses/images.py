"""Losses that are no weighted L1 or L2."""

import torch
from torch import Tensor

from srlongtail.focal.pixel_loss import ImageLoss
from srlongtail.metrics import ssim


class Charbonnier(ImageLoss):
    """The mean of `sqrt((SR - HR)^2 + epsilon^2)`, an L1 that is smooth at 0.

    Args:
        epsilon: In units of the image; 1e-3 in the paper.

    Source: Lai, Huang, Ahuja, Yang, "Deep Laplacian pyramid networks for fast and accurate
    super-resolution", CVPR 2017, the loss function, there as a sum over the pixels.

    Example:
        >>> hr, bicubic = torch.zeros(2, 1, 3, 8, 8)
        >>> round(Charbonnier()(hr, hr, bicubic).item(), 6)
        0.001
    """

    reads_bicubic = False

    def __init__(self, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = epsilon

    def value(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the loss of images in full precision, one number."""
        return self._distance(sr - hr).mean()

    @torch.no_grad()
    def output_gradient(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the gradient with respect to SR."""
        difference = sr - hr
        return difference / self._distance(difference) / sr.numel()

    def _distance(self, difference: Tensor) -> Tensor:
        return (difference.square() + self.epsilon**2).sqrt()


class FocalFrequencyLoss(ImageLoss):
    """The weighted squared error of the spectrum, with more weight on frequencies that are hard.

    With D the unitary 2-D Fourier transform of SR - HR, of each image and channel, the mean of
    `w |D|^2`, where `w = |D|^alpha / max |D|^alpha` carries no gradient. With w = 1 it would be
    L2, by Parseval's theorem.

    Args:
        alpha: 1 in the paper.

    Source: Jiang, Dai, Wu, Loy, "Focal frequency loss for image reconstruction and synthesis",
    ICCV 2021, the spectrum weight matrix and the loss.

    Example:
        >>> hr, bicubic = torch.zeros(2, 1, 3, 8, 8)
        >>> round(FocalFrequencyLoss()(hr + 0.1, hr, bicubic).item(), 6)  # one frequency has it all
        0.01
    """

    reads_bicubic = False

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def value(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the loss of images in full precision, one number."""
        spectrum = torch.fft.fft2(sr - hr, norm="ortho")
        power = spectrum.real.square() + spectrum.imag.square()
        return (self._weight(power.detach()) * power).mean()

    @torch.no_grad()
    def output_gradient(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the gradient with respect to SR."""
        spectrum = torch.fft.fft2(sr - hr, norm="ortho")
        weighted = self._weight(spectrum.real.square() + spectrum.imag.square()) * spectrum
        return 2 * torch.fft.ifft2(weighted, norm="ortho").real / sr.numel()

    def _weight(self, power: Tensor) -> Tensor:
        """Return the weights, 0 for an image without error."""
        largest = power.amax((-2, -1), keepdim=True)
        return (power / largest.where(largest > 0, 1)).pow(self.alpha / 2)


class GradientLoss(ImageLoss):
    """L1 plus the L1 distance of the images' gradient magnitudes along rows and columns.

    `mean |SR - HR| + weight (mean ||d SR| - |d HR||)`, where d is the difference of neighboring
    pixels, and the mean over rows is added to that over columns.

    Args:
        weight: 1 in the paper.

    Source: Mathieu, Couprie, LeCun, "Deep multi-scale video prediction beyond mean square error",
    ICLR 2016, the gradient difference loss (GDL) with alpha = 1, which is combined there with L1 or
    L2.

    Example:
        >>> hr, bicubic = torch.rand(2, 1, 3, 8, 8)
        >>> round(GradientLoss()(hr + 0.1, hr, bicubic).item(), 6)  # the gradients are the same
        0.1
    """

    reads_bicubic = False

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def value(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the loss of images in full precision, one number."""
        gradients = [
            (sr.diff(dim=axis).abs() - hr.diff(dim=axis).abs()).abs().mean() for axis in (-2, -1)
        ]
        return (sr - hr).abs().mean() + self.weight * (gradients[0] + gradients[1])


class SSIMLoss(ImageLoss):
    """`share (1 - SSIM) + (1 - share) L1`.

    SSIM is that of most SR papers, with the 11 x 11 Gaussian, at one scale; see `ssim`.

    Args:
        share: 0.84 in the paper.

    Source: Zhao, Gallo, Frosio, Kautz, "Loss functions for image restoration with neural
    networks", IEEE TCI 2017, the loss "Mix", which uses SSIM at several scales, and weights L1 with
    the Gaussian of SSIM. Training patches are too small for five scales.

    Example:
        >>> hr, bicubic = torch.rand(2, 1, 3, 16, 16)
        >>> round(SSIMLoss()(hr, hr, bicubic).item(), 6)
        0.0
    """

    reads_bicubic = False

    def __init__(self, share: float = 0.84) -> None:
        super().__init__()
        self.share = share

    def value(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the loss of images in full precision, one number."""
        similarity = ssim(sr, hr, kernel="gaussian").mean().to(sr.dtype)
        return self.share * (1 - similarity) + (1 - self.share) * (sr - hr).abs().mean()
