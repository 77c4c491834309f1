"""Writers of COCO JSON, YOLO, VOC, CSV, ArrayRecord, class folders and mask folders."""
