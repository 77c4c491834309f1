"""Write files atomically, check names from files, report missing files, and parse JSON."""

from visiongarden.storage.json_text import parse_json
from visiongarden.storage.missing import check_file, similar
from visiongarden.storage.names import name_of, path_inside, safe_name
from visiongarden.storage.write import (
    atomic_folder,
    atomic_path,
    atomic_write,
    remove_drafts,
)

__all__ = [
    "atomic_folder",
    "atomic_path",
    "atomic_write",
    "check_file",
    "name_of",
    "parse_json",
    "path_inside",
    "remove_drafts",
    "safe_name",
    "similar",
]
