"""Our loop against pythae's trainer: the same VAE network, data, batch and threads, Bernoulli pixels."""

from __future__ import annotations

import tempfile

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE as TheirVAE
from pythae.models import VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

from .bench import BATCH, CASES, ROW, Stepper, ours, race
from .catalog import entry
from .data.base import Data
from .models.base import Model
from .runs import seeded_build

BLOCK = 60


class Encoder(BaseEncoder):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> ModelOutput:
        mu, logvar = self.net(x).chunk(2, -1)
        return ModelOutput(embedding=mu, log_covariance=logvar)


class Decoder(BaseDecoder):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.net(z).sigmoid())


def theirs(model: Model, data: Data) -> Stepper:
    """n steps of pythae's trainer (full precision, its defaults) on the networks of `model`; n at most BLOCK."""
    config = VAEConfig(input_dim=data.shape, latent_dim=model.code, reconstruction_loss="bce")
    vae = TheirVAE(config, encoder=Encoder(model.encoder), decoder=Decoder(model.decoder))
    images = data.train.batch(torch.arange(BATCH * BLOCK)).x
    folder = tempfile.mkdtemp()

    def trainer(n: int) -> BaseTrainer:
        settings = BaseTrainerConfig(
            output_dir=folder, num_epochs=1, per_device_train_batch_size=BATCH, learning_rate=1e-3
        )
        made = BaseTrainer(vae, BaseDataset(images[: n * BATCH], torch.zeros(n * BATCH)), training_config=settings)
        made.prepare_training()
        return made

    trainers: dict[int, BaseTrainer] = {}

    def steps(n: int) -> None:
        if n not in trainers:
            trainers[n] = trainer(n)
        trainers[n].train_step(epoch=1)

    for n in (ROW, BLOCK):  # the making of a trainer is not timed
        trainers[n] = trainer(n)
    return steps


def main(data: Data, precision: str) -> None:
    print(f"{'':14}{'ours':>10}{'pythae':>10}   times as fast (target on a CPU: dense 1.4, convolutional 2)")
    for label in ("vae, dense", "vae, conv"):
        key, params = CASES[label]
        models = [seeded_build(entry(key), data.shape, params, 0) for _ in range(2)]
        fast, plain, ratio = race(ours(models[0], data, precision), theirs(models[1], data), BLOCK)
        print(f"{label:14}{fast:8.1f}/s{plain:8.1f}/s   {1 / ratio:.2f}")
