"""Files: the one way in which they are written, and names from files that become paths."""

from visiongarden.storage.names import path_inside, safe_name
from visiongarden.storage.write import atomic_folder, atomic_path, atomic_write

__all__ = ["atomic_folder", "atomic_path", "atomic_write", "path_inside", "safe_name"]
