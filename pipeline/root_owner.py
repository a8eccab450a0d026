"""Which ML Metadata a root in a bucket belongs to.

The names of artifacts contain the IDs of executions: two databases, on two machines, would write over each other's.
"""

import uuid

from ml_metadata import MetadataStore, errors
from ml_metadata.proto import metadata_store_pb2

from components.shared import storage
from pipeline.errors import UserError
from pipeline.paths import Paths

CONTEXT_TYPE, ID = "caption_pipeline.Root", "id"


class RootOwnerError(UserError):
    """The root belongs to another ML Metadata."""


def claim(store: MetadataStore, paths: Paths) -> None:
    """Ties a root in a bucket to an ML Metadata, unless it is tied to it; a root on a disk has its own.

    Raises:
      RootOwnerError: it is tied to another one.
    """
    if storage.is_local(paths.root):
        return
    own, owner = _id_in(store, paths.root), _id_at(paths.owner)
    if owner is None:
        own = own or _register(store, paths.root)
        storage.write_json(paths.owner, {ID: own})
    elif owner != own:
        raise RootOwnerError(
            f"root: {paths.root} belongs to another ML Metadata than the one that `metadata` names: set metadata to "
            "that one, or use another root"
        )


def _id_at(path: str) -> str | None:
    try:
        return storage.read_json(path)[ID]
    except FileNotFoundError:
        return None


def _id_in(store: MetadataStore, root: str) -> str | None:
    context = store.get_context_by_type_and_name(CONTEXT_TYPE, root)
    return context.custom_properties[ID].string_value if context else None


def _register(store: MetadataStore, root: str) -> str | None:
    type_id = store.put_context_type(metadata_store_pb2.ContextType(name=CONTEXT_TYPE))
    context = metadata_store_pb2.Context(type_id=type_id, name=root)
    context.custom_properties[ID].string_value = uuid.uuid4().hex
    try:
        store.put_contexts([context])
    except errors.AlreadyExistsError:  # another run was faster
        return _id_in(store, root)
    return context.custom_properties[ID].string_value
