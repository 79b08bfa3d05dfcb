"""Domains of pictures, for a model that has to be told them: by name, or by the folders that they are in."""

from collections.abc import Sequence
from pathlib import Path

from cluit.core.errors import UserError
from cluit.core.types import Translator, require_known


def domains_of(
    translator: Translator, pictures: Sequence[object], named: str | int | Sequence[str] | None = None
) -> list[str] | None:
    """The domain of each picture by name, None where the model tells none apart.

    named: of all pictures, or of each. Without it the nearest folder above a picture whose name is a domain
    decides, so ``pictures`` have to be paths. UserError where none does, where a name is no domain, and for a
    name to a model without domains.
    """
    if not translator.domains:
        if named is None:
            return None
        raise UserError("this model tells no domains apart; leave the domain out")
    known = ", ".join(translator.domains)
    if named is None:
        found = [folder_domain(one, translator.domains) for one in pictures]
        names = [name for name in found if name is not None]
        if len(names) < len(pictures):
            raise UserError(
                f"this model tells domains apart ({known}): add --domain (domain= in Python), or keep "
                "references in subfolders of these names"
            )
    else:
        # classes of a data set in Python may be numbers, whose names are their digits
        names = [str(named)] * len(pictures) if isinstance(named, str | int) else list(map(str, named))
        if len(names) != len(pictures):
            raise UserError(
                f"{len(names)} domains for {len(pictures)} pictures; name one of all, or one of each"
            )
    translator.domain_numbers(names)  # refuses a strange name
    return names


def folder_domain(picture: object, domains: Sequence[str]) -> str | None:
    """The name of the nearest folder above the file that is a domain's."""
    if not isinstance(picture, str | Path):
        return None
    above = Path(picture).expanduser().absolute().parents
    return next((folder.name for folder in above if folder.name in domains), None)


def require_domains(domains: Sequence[str], classes: Sequence[str]) -> None:
    """UserError where a model that tells these domains apart does not know the classes of test pictures."""
    if not domains:
        return
    if "" in classes:
        raise UserError(
            f"this model tells domains apart ({', '.join(domains)}): put every test picture into a subfolder "
            "of one of these names"
        )
    require_known(domains, classes)
