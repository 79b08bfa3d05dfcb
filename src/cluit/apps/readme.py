"""README.md of a saved model: its card, for people and for the hub."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from cluit.apps.run_page import CHARTS
from cluit.apps.tables import Table
from cluit.export.hub import SAMPLE

NOT_RECORDED = "Not recorded with the model."
NO_LICENCE = (
    "None is stated. Until whoever gives this model states one, others may not do more with it than the law "
    "grants anyway."
)


def readme(card: Mapping[str, Any], name: str, sample_step: int | None = None) -> str:
    """The text, of the same words for the same arguments.

    card: of the model, as in model.json, with what `cluit.apps.provenance` adds. name: the folder's or the
    repository's. sample_step: after how many steps sample.png was drawn; None where there is none.
    """
    config, training = card["config"], card.get("training", {})
    size = config["image_size"]
    parts = [
        front_matter(card),
        f"# {plain(name)}",
        f"A model of cluit, by the method {plain(card['method'])}, for pictures of {size} × {size} px. It "
        "repaints a picture, the *source*, in the style of another, the *reference*, and keeps the source's "
        "structure.",
        *sample(sample_step),
        "## Use",
        f'```python\nimport cluit\n\nmodel = cluit.from_pretrained("{plain(name)}")\n'
        'model.translate("source.png", "reference.png").save("out.png")\n```',
        *domains(config.get("domains") or ()),
        "The weights are safetensors, the rest is JSON: opening them runs no code.",
        "## Training",
        *trained_on(training, card.get("steps")),
        "## Scores",
        *held_out(training.get("held_out_scores")),
        *evaluation(card.get("evaluation")),
        *([] if training.get("held_out_scores") or card.get("evaluation") else [NOT_RECORDED]),
        "## Settings",
        Table(("setting", "value"), [(plain(key), shown(value)) for key, value in config.items()]).markdown(),
        "## Licence",
        plain(card["license"]) if card.get("license") else NO_LICENCE,
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def front_matter(card: Mapping[str, Any]) -> str:
    """What the hub sorts models by, as YAML."""
    tags = dict.fromkeys(["image-to-image", "style-transfer", "gan", card["method"], "cluit"])
    front = {
        **({"license": card["license"]} if card.get("license") else {}),
        "library_name": "cluit",
        "pipeline_tag": "image-to-image",
        "tags": list(tags),
    }
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---"


def sample(step: int | None) -> list[str]:
    if step is None:
        return []
    return [
        f"![translations]({SAMPLE})",
        f"Held-out pictures after {step:,} steps of training: references in the first row, sources in the "
        "first column.",
    ]


def domains(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    known = ", ".join(map(plain, names))
    return [f"It tells the domains {known} apart: say which one a reference is of (`domain=`)."]


def trained_on(training: Mapping[str, Any], steps: int | None) -> list[str]:
    """The data, how long, from which weights, and the command."""
    if not training:
        return [NOT_RECORDED]
    data = training.get("data")
    if data == "portraits":
        text = "On `portraits`, drawn animal faces that come with cluit"
        text += f" ({training['count']:,} of them)" if "count" in training else ""
    else:
        text = (
            f"On the pictures of a folder called `{plain(data)}`" if data else "On a data set without a name"
        )
    if steps is not None:
        text += f", for {steps:,} steps"
    if training.get("batch_size"):
        text += f" of {training['batch_size']} pictures"
    if training.get("seconds"):
        text += f", in {clock(training['seconds'])}"
    if "init_from" in training:
        text += f", from the weights of `{plain(training['init_from'])}`"
    command = training.get("command")
    return [f"{text}.", *([f"```sh\n{plain(command)}\n```"] if command else [])]


def clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds / 3600:.1f} hours" if minutes >= 120 else f"{minutes} minute{'s' * (minutes != 1)}"


def held_out(record: Mapping[str, Any] | None) -> list[str]:
    """What the training itself logged."""
    if not record:
        return []
    scores = dict(record["scores"])
    lines = []
    for heading, (note, names) in CHARTS.items():
        known = [f"{name} {figure(scores.pop(name))}" for name in names if name in scores]
        lines += [f"- {heading}: {', '.join(known)} ({note})"] if known else []
    lines += [f"- {plain(name)} {figure(value)}" for name, value in scores.items()]
    lead = f"On held-out pictures after {record['step']:,} steps, as the training above logs them:"
    return [lead, "\n".join(lines)]


def evaluation(record: Mapping[str, Any] | None) -> list[str]:
    """What `cluit evaluate` came to, beside the answers that take no learning."""
    if not record:
        return []
    header = list(dict.fromkeys(column for one in record["scores"].values() for column in one))
    rows = [
        [plain(answer), *(figure(one[column]) if column in one else "–" for column in header)]
        for answer, one in record["scores"].items()
    ]
    lead = (
        f"On the test pictures `{plain(record['data'])}`: {record['sources']:,} sources, each with "
        f"{record['each']} references, at {record['image_size']} px, on {plain(record['machine'])}. Below "
        "the model stand answers that take no learning, such as to return the source."
    )
    return [
        lead,
        Table(["answer", *map(plain, header)], rows).markdown(),
        f"```sh\n{plain(record['command'])}\n```",
    ]


def figure(value: float) -> str:
    return f"{value:.4g}"


def shown(value: object) -> str:
    return ", ".join(map(plain, value)) if isinstance(value, list | tuple) else plain(value)


def plain(value: object) -> str:
    """A value as text on one line that Markdown takes for nothing else, in a table or in a block of code."""
    return " ".join(str(value).split()).replace("`", "'").replace("|", "/").replace("<", "‹")
