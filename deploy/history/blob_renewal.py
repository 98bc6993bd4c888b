"""Large bodies of what is replayed, written again: a bucket deletes by age, and a replay may take a whole schedule."""

from collections.abc import Iterable

from deploy.history.documents import dataref_of
from shared.ports import Blobs


async def renew_blobs(messages: Iterable[bytes], blobs: Blobs) -> None:
    """Begin the age of the blobs again that these stored events or deliveries name. Raises Temporary."""
    for name in filter(None, dict.fromkeys(map(dataref_of, messages))):
        content = await blobs.get(name)
        if content is not None:
            await blobs.put(name, content)
