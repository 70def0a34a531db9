"""SynFlow: the synaptic flow through an untrained detector."""

from __future__ import annotations

import torch
from torch import Tensor

from search_space import Detector
from trainers.assigners import Objects
from trainers.proxies.proxy import proxy


@proxy("synflow")
def synflow(detector: Detector, images: Tensor, objects: Objects) -> float:
    """Returns the log of the summed synaptic flow |weight * gradient|: Tanaka et al., NeurIPS 2020.

    All parameters are replaced by their absolute values, the input of the first layer is all ones with the size of
    `images` `(B, 3, H, W)`, and the sum of the raw outputs is differentiated. Batch norm is in evaluation mode. The
    flow of convolutions and linear layers is summed in float64, because it grows exponentially with depth. The
    logarithm does not change the ranking.
    """
    detector.double().eval()
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.abs_()
    ones = torch.ones((1, *images.shape[1:]), dtype=torch.float64, device=images.device)
    outputs = detector(detector.convert.inverse(ones))
    total = torch.stack([output.sum() for output in outputs if output.requires_grad]).sum()
    weights = [parameter for parameter in detector.parameters() if parameter.ndim > 1]
    flows = torch.autograd.grad(total, weights, allow_unused=True)
    reached = [(weight.detach(), flow) for weight, flow in zip(weights, flows, strict=True) if flow is not None]
    parts = [(weight * flow).abs().sum() for weight, flow in reached]
    return float(torch.stack(parts).sum().log())
