"""The page of `cluit oracle`: what the oracle sees and what it does not."""

from collections.abc import Mapping
from math import sqrt
from typing import Any

from cluit.apps import report
from cluit.apps.charts import bars, curves
from cluit.apps.report import Html
from cluit.evaluation.marks import Marks

LEAST_BALANCED = 0.6  # of an attribute that is seen; 0.5 is worth nothing
LEAST_GAIN = 0.2  # over always naming the commonest class, as a share of what that gets wrong


def document(record: Mapping[str, Any], test: Marks, grey: Marks) -> str:
    """record: as beside the page. test, grey: marks on the test pictures, as they are and without colours."""
    kind = "attributes" if test.multi else "classes"
    settings, minutes = record["settings"], record["seconds"]["training"] / 60
    lead = (
        f"{record['network']} at {settings['image_size']} px, trained for {minutes:.1f} minutes "
        f"({record['trials'][-1]['step']:,} steps) on {record['pictures']:,} pictures of "
        f"{report.place(settings['data'])}, on {record['machine']}. {verdict(test, grey)}"
    )
    shares = {"as they are": test.each(), "grey": grey.each()}
    sections = [
        report.section(
            "Accuracy",
            report.row(bars("Share right" if test.multi else "Share of each class seen right", shares)),
            attributes_table(test, grey) if test.multi else classes_table(test, grey),
        )
    ]
    if not test.multi:
        sections.append(report.section("What is taken for what", confusion(test)))
    sections += [
        report.section("Training", report.row(*learning(record["trials"]))),
        report.section("Settings", settings_table(record)),
    ]
    return report.page(f"An oracle of {len(test.classes)} {kind}", lead, *sections)


def verdict(test: Marks, grey: Marks) -> str:
    """The figures, and what those on grey pictures mean."""
    seen = f"Of {test.pictures:,} pictures that it never saw"
    if test.multi:
        return (
            f"{seen} it tells rightly whether they have an attribute in {test.accuracy:.1%} of the cases, "
            f"and in {grey.accuracy:.1%} once they have lost their colours, which some attributes are."
            + not_seen(test)
        )
    text = (
        f"{seen} it names the class of {test.accuracy:.1%} rightly, and of {grey.accuracy:.1%} once they "
        "have lost their colours"
    )
    commonest = test.counts.sum(dim=1).max().item() / test.pictures
    if test.accuracy - commonest < max(LEAST_GAIN * (1 - commonest), 2 * error_of(commonest, test.pictures)):
        return (
            f"{text}; whoever always names the commonest class is right on {commonest:.1%}: it has learned "
            "nothing that its accuracy shows, so do not trust it; train it longer or on more pictures."
        )
    above_chance, kept = (marks.balanced - 1 / len(test.classes) for marks in (test, grey))
    if kept < above_chance / 2:
        return f"{text}: it sees little but colour, so do not trust it; train it with a higher --grey."
    return f"{text}: colour alone is not what it sees."


def error_of(share: float, pictures: int) -> float:
    """Standard error of a share of so many pictures."""
    return sqrt(share * (1 - share) / pictures)


def not_seen(test: Marks) -> str:
    """A warning of attributes that no translation should be judged by."""
    names = [name for name, share in test.each_balanced().items() if share < LEAST_BALANCED]
    if not names:
        return ""
    advice = "do not judge by them; train it longer, wider or on larger pictures"
    if len(names) == len(test.classes):
        return f" It has learned next to nothing of any: {advice}."
    return f" It hardly sees {', '.join(names)}: {advice}."


def classes_table(test: Marks, grey: Marks) -> Html:
    pictures = test.counts.sum(dim=1).tolist()
    rows = [["all", test.pictures, test.accuracy, grey.accuracy]]
    rows += [
        [name, count, test.each()[name], grey.each()[name]]
        for name, count in zip(test.classes, pictures, strict=True)
    ]
    return report.table(["class", "pictures", "seen right", "in grey"], percent(rows), strong=1)


def attributes_table(test: Marks, grey: Marks) -> Html:
    have = (test.counts[:, 1].sum(dim=1) / test.pictures).tolist()
    commoner = [max(share, 1 - share) for share in have]
    rows = [["mean", "", sum(commoner) / len(have), test.accuracy, test.balanced, grey.accuracy]]
    rows += [
        [name, share, most, test.each()[name], test.each_balanced()[name], grey.each()[name]]
        for name, share, most in zip(test.classes, have, commoner, strict=True)
    ]
    note = (
        "Commoner: the share right of whoever always says what more pictures are. Balanced: the mean of the "
        "shares right of pictures with and without the attribute, of which that answer has 50%."
    )
    header = ["attribute", "have it", "commoner", "right", "balanced", "in grey"]
    return report.table(header, percent(rows), note, strong=1)


def percent(rows: list[list[Any]]) -> list[list[Any]]:
    """Shares as text; NaN, of no pictures, as a dash."""
    return [
        [("–" if cell != cell else f"{cell:.1%}") if isinstance(cell, float) else cell for cell in row]
        for row in rows
    ]


def confusion(test: Marks) -> Html:
    rows = [[name, *row] for name, row in zip(test.classes, test.counts.tolist(), strict=True)]
    note = "Numbers of pictures: what is there by row, what the oracle sees by column."
    return report.table(["is \\ seen as", *test.classes], rows, note)


HELD_BACK = "Balanced accuracy on training pictures held back"


def learning(trials: list[Mapping[str, Any]]) -> list[Html]:
    losses = [(trial["step"], trial["loss"]) for trial in trials]
    shares = [(trial["step"], trial["marks"]["balanced"]) for trial in trials]
    return [curves("Loss", {"Loss": losses}), curves(HELD_BACK, {HELD_BACK: shares})]


def settings_table(record: Mapping[str, Any]) -> Html:
    rows = [
        [name, ", ".join(v) if isinstance(v, list) else report.place(v)]
        for name, v in record["settings"].items()
    ]
    rows = [[name, "–" if text in ("None", "inf") else text] for name, text in rows]
    rates = record["pictures_per_second"]
    rows += [[f"pictures a second, {name}", f"{rate:,.0f}"] for name, rate in rates.items()]
    rows += [["files skipped", str(len(record["skipped"]))]]
    return report.table(["setting", "value"], rows)
