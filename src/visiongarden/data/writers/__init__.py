"""Writers of dataset formats, one registered class per file; imported, so that they are found."""

from visiongarden.data.writers.array_record import ArrayRecordWriter
from visiongarden.data.writers.class_folders import ClassFoldersWriter
from visiongarden.data.writers.coco import COCOWriter
from visiongarden.data.writers.csv_table import CSVWriter
from visiongarden.data.writers.dota import DOTAWriter
from visiongarden.data.writers.mask_folders import MaskFoldersWriter
from visiongarden.data.writers.voc import VOCWriter
from visiongarden.data.writers.writer import Writer, writer_of
from visiongarden.data.writers.yolo import YOLOWriter

__all__ = [
    "ArrayRecordWriter",
    "COCOWriter",
    "CSVWriter",
    "ClassFoldersWriter",
    "DOTAWriter",
    "MaskFoldersWriter",
    "VOCWriter",
    "Writer",
    "YOLOWriter",
    "writer_of",
]
