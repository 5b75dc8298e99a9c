"""What file names tell: sample, replicate, profile, site, by a template such as
``{site}_{sample_id}_{replicate}``.

Belongs here: templates and their matching. Does not belong here: any one format, and ids inside tables.

Templates are matched from the right, field by field, so that an id may itself hold the separator
(``BF_lo_01_2`` is sample ``BF_lo_01``, replicate ``2``). There is no regular expression in a manifest, so
none can be made to hang.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from soil_assets.errors import BadInput
from soil_assets.spectra.readers.rows import names_of
from soil_assets.spectra.readers.scans import Scans
from soil_assets.spectra.readers.source import Source

#: What a template may take from a name; ``_`` is a part that means nothing.
FIELDS = ("sample_id", "replicate", "profile", "site", "depth", "_")


@dataclass(frozen=True)
class Template:
    """A parsed template: texts and fields by turns, beginning and ending with a text (which may be empty)."""

    written: str
    texts: tuple[str, ...]
    fields: tuple[str, ...]

    @classmethod
    def parse(cls, written: str) -> Template:
        """Parse a template.

        Raises
        ------
        BadInput
            When it has no ``{sample_id}``, an unknown or repeated field, or two fields with nothing between
            them.
        """
        pieces = re.split(r"\{(\w+)\}", written)
        texts, fields = tuple(pieces[0::2]), tuple(pieces[1::2])
        named = [f for f in fields if f != "_"]
        if (
            "sample_id" not in fields
            or any(f not in FIELDS for f in fields)
            or len(set(named)) < len(named)
            or any(not text for text in texts[1:-1])
            or any(c in "{}" for text in texts for c in text)
        ):
            raise BadInput(
                "not a template for file names",
                column="file_names",
                found=repr(written),
                expected="{sample_id} and other fields (" + ", ".join(FIELDS[1:]) + "), divided by text",
                mend="for example {site}_{sample_id}_{replicate}",
            )
        return cls(written, texts, fields)

    def match(self, name: str) -> dict[str, str] | None:
        """Return the fields of a name, or None when it does not follow the template."""
        if not name.endswith(self.texts[-1]) or len(name) < len(self.texts[-1]):
            return None
        rest = name[: len(name) - len(self.texts[-1])]
        found: dict[str, str] = {}
        for field, text in zip(self.fields[:0:-1], self.texts[-2:0:-1], strict=True):
            rest, divider, value = rest.rpartition(text)
            if not divider or not value:
                return None
            found[field] = value
        if not rest.startswith(self.texts[0]) or rest == self.texts[0]:
            return None
        found[self.fields[0]] = rest[len(self.texts[0]) :]
        found.pop("_", None)
        return found


def apply(template: Template, part: Scans, source: Source) -> Scans:
    """Return the scans of a one-scan file with the fields of its name; a name that does not follow is said."""
    if not isinstance(part.samples, list) or len(part.samples) != 1:
        return part
    stem = names_of(source)[0]
    # The ending is the format's, unless the template speaks of it.
    found = template.match(source.basename if "." in template.written else stem)
    if found is None:
        return replace(
            part, said=(*part.said, f"{source.name} does not follow {template.written}: its id is {stem}")
        )
    return replace(part, samples=[{**part.samples[0], **found}])
