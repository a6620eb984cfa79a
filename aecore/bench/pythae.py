"""Our loop against the trainers of pythae: the same networks, data, batch and threads.

pythae gets torch's own convolutions, since those of `nn.networks`, which are faster in training, are ours.
"""

# pythae is installed for this comparison only.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from typing import Any

import torch
from torch import Tensor, nn

with redirect_stderr(io.StringIO()):  # where its logs go then, too
    from pythae import models as their
    from pythae import trainers
    from pythae.data.datasets import BaseDataset
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder

from ..catalog import entry, seeded_build
from ..data.base import Data
from ..models.base import Model
from ..nn import networks
from ..training.plan import Precision
from .cases import BATCH, CASES, ROW, Stepper, block_of, chosen, ours, race

BLOCK = 60
FEATURES = 1  # the number that pythae gives to the one hidden layer of the critic that VAE-GAN compares


class Encoder(BaseEncoder):
    """Our encoder as pythae's."""

    def __init__(self, net: nn.Module, gaussian: bool):
        super().__init__()
        self.net, self.gaussian = net, gaussian

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.net(x)
        mu, logvar = h.chunk(2, -1) if self.gaussian else (h, torch.zeros_like(h))
        return ModelOutput(embedding=mu, log_covariance=logvar)


class Decoder(BaseDecoder):
    """Our decoder as pythae's."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.net(z).sigmoid())


class Critic(BaseDiscriminator):
    """Our critic as pythae's.  features: the layers before the last one, if reconstructions are compared there."""

    def __init__(self, head: nn.Module, features: nn.Module | None = None):
        super().__init__()
        self.head, self.features, self.depth = head, features or nn.Identity(), FEATURES

    def forward(self, x: Tensor, output_layer_levels: list[int] | None = None) -> ModelOutput:
        h = self.features(x)
        if output_layer_levels:
            return ModelOutput(**{f"embedding_layer_{FEATURES}": h})
        return ModelOutput(embedding=self.head(h).sigmoid())


def config(kind: type, model: Any, **more: Any) -> Any:
    """pythae's configuration of this kind for our model."""
    return kind(input_dim=model.shape, latent_dim=model.code, **more)


def nets(model: Any, gaussian: bool = True) -> dict[str, nn.Module]:
    """Encoder and decoder of our model as pythae's."""
    return {"encoder": Encoder(model.encoder, gaussian), "decoder": Decoder(model.decoder)}


BCE = {"reconstruction_loss": "bce"}
THEIRS: dict[str, Callable[[Any], nn.Module]] = {
    "vae": lambda m: their.VAE(config(their.VAEConfig, m, **BCE), **nets(m)),
    "beta_vae": lambda m: their.BetaVAE(config(their.BetaVAEConfig, m, beta=m.beta, **BCE), **nets(m)),
    "iwae": lambda m: their.IWAE(config(their.IWAEConfig, m, number_samples=m.K, **BCE), **nets(m)),
    "wae_mmd": lambda m: their.WAE_MMD(config(their.WAE_MMD_Config, m), **nets(m, gaussian=False)),
    "aae": lambda m: their.Adversarial_AE(
        config(their.Adversarial_AE_Config, m, deterministic_posterior=True, **BCE),
        **nets(m, gaussian=False),
        discriminator=Critic(m.critic),
    ),
    "vae_gan": lambda m: their.VAEGAN(
        config(their.VAEGANConfig, m, reconstruction_layer=FEATURES, **BCE),
        **nets(m),
        discriminator=Critic(m.critic.head, m.critic.features),
    ),
}
"""pythae's model around the networks of ours, by our key."""


def theirs(key: str, model: Model, data: Data) -> Stepper:
    """A function that does n steps, at most BLOCK, of pythae's trainer with its defaults on the networks of `model`."""
    for module in model.modules():
        if isinstance(module, networks.Conv2d):
            module.__class__ = nn.Conv2d
        elif isinstance(module, networks.ConvTranspose2d):
            module.__class__ = nn.ConvTranspose2d
    wrapped = THEIRS[key](model)
    images = data.train.batch(torch.arange(BATCH * BLOCK)).x
    kind = {"aae": "Adversarial", "vae_gan": "CoupledOptimizerAdversarial"}.get(key, "Base") + "Trainer"
    folder = tempfile.TemporaryDirectory()  # it is removed with the function

    def trainer(n: int) -> Any:
        settings = getattr(trainers, kind + "Config")(
            output_dir=folder.name, num_epochs=1, per_device_train_batch_size=BATCH, learning_rate=1e-3
        )
        dataset = BaseDataset(images[: n * BATCH], torch.zeros(n * BATCH))
        prepared = getattr(trainers, kind)(wrapped, dataset, training_config=settings)
        prepared.prepare_training()
        return prepared

    trainer_for: dict[int, Any] = {}

    def steps(n: int) -> None:
        if n not in trainer_for:  # not timed: `block_of` and `race` do not time their first steps
            trainer_for[n] = trainer(n)
        trainer_for[n].train_step(epoch=1)

    return steps


def compare(data: Data, precision: Precision) -> Iterator[dict[str, Any]]:
    """The speeds of both, for each case that pythae can train: steps per second, and how many times ours is as fast."""
    for label, (key, params) in CASES.items():
        if key not in THEIRS or "," not in label:
            continue
        models = [seeded_build(entry(key), data.shape, params, 0) for _ in range(2)]
        found = chosen(models[0], data, precision)
        with redirect_stderr(io.StringIO()):  # its progress bars
            loop, other = ours(models[0], data, found), theirs(key, models[1], data)
            block = block_of(loop)
            other(ROW)
            fast, plain, ratio = race(loop, other, block)
        yield {"case": label, "precision": found, "ours": fast, "pythae": plain, "times": 1 / ratio}
