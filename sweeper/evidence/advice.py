"""What each diagnosis means, what the documents say to do, and which recipe tests that cure."""

from dataclasses import dataclass

RULES_RECIPE = "loss_trends"
TRAIN, VALIDATION, RATES = "train_loss_not_falling", "val_loss_not_falling", "lr_ladder"
VANISHING, EXPLODING, DEAD = "vanishing_gradients", "exploding_init", "dead_relu"
PLATEAU = "lr_plateau"


@dataclass(frozen=True)
class Advice:
    """A sentence each: what is seen, what to do; and the name of a recipe."""

    seen: str
    do: str
    recipe: str


ADVICE = {
    "diverged": Advice(
        "The loss became NaN or infinite.",
        "Divide the learning rate by ten, and once more, until it does not; then look at the "
        "inputs' scale and the starting weights.",
        RATES,
    ),
    "R1": Advice(
        "Training and validation loss are both falling: the net is still learning.",
        "Train longer.",
        RULES_RECIPE,
    ),
    "R2": Advice(
        "The training loss falls and the validation loss does not: the net overfits.",
        "More data, also by augmentation or colour; a simpler net, dropout, weight decay.",
        VALIDATION,
    ),
    "R3": Advice(
        "The training loss stands still while the validation loss falls: the training data are at "
        "fault.",
        "Look at training samples and their labels: blank or damaged ones, wrong labels, another "
        "preparation than that of the validation data.",
        RULES_RECIPE,
    ),
    "R4": Advice(
        "Both losses stand still although much is left to learn: a bottleneck.",
        "Lower the learning rate or the batch size; the names beside this one say which bottleneck "
        "it is, as far as the record shows it.",
        TRAIN,
    ),
    "R5": Advice(
        "Both losses are rising.",
        "Check the structure of the net, the hyper-parameters (the learning rate first) and "
        "whether the data were cleaned.",
        RULES_RECIPE,
    ),
    "R6": Advice(
        "The training loss lies far below the validation loss: the net overfits.",
        "More data, a simpler net, dropout, weight decay; stop earlier.",
        VALIDATION,
    ),
    "R7": Advice(
        "The training accuracy is low although the training loss fell, and the two contradict each "
        "other or the validation loss never got better.",
        "Check the code first: how data and labels are put together, how the outputs are read, "
        "whether evaluation mode is on; then whether the net is unreasonable.",
        VALIDATION,
    ),
    "R7_overfitting": Advice(
        "The training accuracy is high and the validation accuracy far lower: real overfitting.",
        "More data, a simpler net, dropout, weight decay.",
        VALIDATION,
    ),
    "R8": Advice(
        "The validation loss lies an order of magnitude or more below the training loss.",
        "Check how it is computed: a mean that is divided once more, or another reduction.",
        VALIDATION,
    ),
    "R9": Advice(
        "The net does poorly on the very data it was trained on: underfitting.",
        "Train longer, a larger net, less regularisation, another learning rate.",
        RULES_RECIPE,
    ),
    "R10": Advice(
        "Both losses fell, then the validation loss stopped falling while the training loss went "
        "on: overfitting.",
        "Stop where the validation loss was lowest; more data, a simpler net, weight decay.",
        VALIDATION,
    ),
    "vanishing_gradients": Advice(
        "The gradient that reaches the first layer is next to nothing.",
        "ReLU in place of sigmoid or tanh, starting weights that suit the activation (He, Xavier), "
        "batch normalisation.",
        VANISHING,
    ),
    "exploding_gradients": Advice(
        "Outputs or gradients are huge from the start.",
        "Smaller starting weights (He, Xavier), inputs of unit scale, clipped gradients.",
        EXPLODING,
    ),
    "dead_units": Advice(
        "Half of the ReLU units fire for no training sample.",
        "A lower learning rate, biases that start at zero, leaky ReLU.",
        DEAD,
    ),
    "lr_too_large": Advice(
        "The training loss was thrown out, rose, or goes up and down: the learning rate looks too "
        "large.",
        "Divide it by ten until the loss falls.",
        RATES,
    ),
    "lr_too_small": Advice(
        "Both losses creep down steadily and hardly get anywhere: the learning rate looks too "
        "small.",
        "Multiply it by ten.",
        RATES,
    ),
    "oscillation": Advice(
        "The training loss goes up and down.",
        "A lower learning rate, or larger batches.",
        RATES,
    ),
    "plateau": Advice(
        "The training loss fell, then stopped where much is left to learn.",
        "Change the learning rate: a decay that came too early stops a net, a step that is too "
        "large keeps it from settling; a larger net if neither helps.",
        PLATEAU,
    ),
}
