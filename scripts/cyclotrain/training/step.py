"""One step of the training and of the validation, as Lightning calls them."""

from typing import Any

import lightning as L
import torch
from torch import Tensor, distributed

from cyclotrain import config
from cyclotrain.contract import Contract
from cyclotrain.data.batches import Batch
from cyclotrain.metrics.roc import Cells
from cyclotrain.networks.registry import Model
from cyclotrain.training.decorrelation import Decorrelation
from cyclotrain.training.fine_tuning import with_learning_rate_factors
from cyclotrain.training.loss import example_losses, total_loss
from cyclotrain.training.optimizers import make_optimizer
from cyclotrain.training.schedules import make_schedule

OUTPUT_LOSS = "validation_loss."  # before the name of an output
DECORRELATION = "distance correlation"  # beside the outputs; no name of an output has a space


class WeightedTraining(L.LightningModule):
    """The losses of all outputs with the weights of `data.training_weights`; `steps`: of the optimiser, in all epochs."""

    def __init__(self, model: Model, contract: Contract, *, training: config.TrainingConfig, steps: int) -> None:
        super().__init__()
        self.model = model
        self.training_config, self._steps = training, steps
        self._contract = contract
        self._decorrelation = Decorrelation(training.decorrelate, contract) if training.decorrelate else None
        self.losses: list[Tensor] = []
        self._validation: list[tuple[Tensor, ...]] = []

    def on_train_epoch_start(self) -> None:
        """Seed by the number of the epoch only, so that a resumed training repeats it."""
        torch.manual_seed((self._contract.seed + self.global_rank) * 1_000_003 + self.current_epoch)
        self.trainer.train_dataloader.epoch = self.current_epoch
        self.losses.clear()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The weighted mean loss of a batch, and the term for decorrelation; over the training split the weights have mean 1."""
        raw_BK, quantities = self.model(batch.branches), self._contract.regression
        losses = example_losses(raw_BK, batch, quantities, label_smoothing=self.training_config.label_smoothing)
        loss_B = total_loss(losses, quantities)
        # DDP averages the gradients over the ranks, whose parts of a batch differ in length
        total = (loss_B * batch.weight).sum() * self.trainer.world_size
        self.losses.append(total.detach() / batch.n_all)
        # Lightning averages the gradients over the batches of a step, of which the last may be smaller
        loss = total / batch.n_step
        if self._decorrelation:  # of the part of a batch that this rank has; averaged over ranks and over the batches of a step
            term = self._decorrelation.of_batch(raw_BK, batch)
            self.losses[-1] += term.detach()
            loss = loss + term
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Keep the values from which the figures of the epoch are computed."""
        raw_BK, quantities = self.model(batch.branches), self._contract.regression
        losses = example_losses(raw_BK, batch, quantities)
        loss_BL = torch.stack([total_loss(losses, quantities), *losses.values()], dim=-1)
        probabilities_BC = torch.softmax(raw_BK[:, : len(self._contract.classes)].float(), -1)
        self._validation.append((loss_BL, batch.weight, batch.target, probabilities_BC, batch.label, batch.observers))

    def on_validation_epoch_end(self) -> None:
        """Log the losses, of each output if there are several, and the area under the ROC curve of signal against the rest."""
        loss, weight, target, probabilities, label, observers = (
            _gathered(torch.cat(part).double()) for part in zip(*self._validation, strict=True)
        )
        self._validation.clear()
        total, *losses = loss.unbind(-1)
        values = {
            "train_loss": _gathered(torch.stack(self.losses)).mean(),
            "validation_loss": (total * weight).sum() / weight.sum(),
        }
        if self._contract.signal:
            index = self._contract.signal_index
            cells = Cells.exact(probabilities[:, index].numpy(), (label == index).numpy(), weight=weight.numpy())
            values["validation_auc"] = torch.tensor(cells.roc().auc if cells.is_measurable else torch.nan)
        if len(losses) > 1 or self._decorrelation:
            everywhere = [torch.ones_like(weight)] if self._contract.classes else []
            is_defined = [*everywhere, *(~torch.isnan(target)).double().unbind(-1)]
            for output, output_loss, defined in zip(self._contract.outputs, losses, is_defined, strict=True):
                own_weight = weight * defined
                if defined.any():
                    values[f"{OUTPUT_LOSS}{output.name}"] = (output_loss * own_weight).sum() / own_weight.sum()
        if self._decorrelation:
            column = observers[:, self._decorrelation.column].numpy()
            term = self._decorrelation.of_split(probabilities.numpy(), column, label=label.numpy(), weight=weight.numpy())
            values[f"{OUTPUT_LOSS}{DECORRELATION}"] = torch.tensor(term)
            values["validation_loss"] = values["validation_loss"] + term
        self.log_dict({name: value.float() for name, value in values.items()})

    def configure_optimizers(self) -> Any:
        """The optimiser and the schedule of its learning rate, by step."""
        optimizer = make_optimizer(self.model, self.training_config)
        with_learning_rate_factors(optimizer, self.model.network, self.training_config.learning_rate_factors)
        schedule = make_schedule(optimizer, self.training_config, self._steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}} if schedule else optimizer


def _gathered(part: Tensor) -> Tensor:
    """The parts of all ranks, one after another, on the CPU."""
    part = part.cpu()
    if not distributed.is_initialized():
        return part
    parts: list[Tensor] = [part] * distributed.get_world_size()
    distributed.all_gather_object(parts, part)
    return torch.cat(parts)
