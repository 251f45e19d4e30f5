"""What programs write, as messages: how it is read is said by the extractor's extras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from headwater.base.errors import InputError
from headwater.connect.contract import Message
from headwater.connect.singer import batch, parse
from headwater.model.event import Level
from headwater.model.plan import ExtractLoad
from headwater.run import legs
from headwater.run.chain import Chain
from headwater.run.legs import Leg
from headwater.run.runner import Run


def messages(step: ExtractLoad, run: Run, leg: Leg, chain: Chain) -> Iterator[Message]:
    """What the last program of a leg says."""
    given = options(step, leg, Path(run.plan.root))
    return parse.messages(chain.chunks(lambda: None), given, lambda text: run.tell(step.name, Level.WARNING, text))


def options(step: ExtractLoad, leg: Leg, root: Path) -> parse.ParseOptions:
    """How the output of a leg's programs is read, by the extractor's extras. Raises InputError
    (`wrong-setting-type`)."""
    known = {item.name for item in msgspec.structs.fields(parse.ParseOptions)} - {"open_batch", "batch_bytes"}
    given = {name: value for name, value in step.extractor.extras.items() if name in known and value is not None}
    try:
        found = msgspec.convert(given, parse.ParseOptions, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(
            "wrong-setting-type",
            f"an extra of `{step.extractor.name}` has the wrong type: {str(error)[:1].lower()}{str(error)[1:]}",
            hint=f"headwater config list {step.extractor.name} --extras",
        ) from error
    depth = legs.flatten_depth(leg)
    if depth is None or "flatten_depth" in given:
        depth = found.flatten_depth
    return msgspec.structs.replace(
        found,
        flatten_depth=depth,
        # Singer has no message for a record that is set aside.
        on_bad_record=found.on_bad_record if leg.is_last else "fail",
        open_batch=batch.opener(_batch_roots(step, root)),
    )


def _batch_roots(step: ExtractLoad, root: Path) -> list[Path]:
    """Where the tap may leave BATCH files: the folder its own settings name, and those the user trusts it with."""
    trusted = [root / path for path in step.extractor.extras.get("batch_roots") or ()]
    return [*batch.named_roots(step.extractor.config, root), *trusted]
