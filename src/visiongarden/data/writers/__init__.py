"""Writers: data sets -> COCO JSON, YOLO txt, VOC, CSV, ArrayRecord, class folders, mask folders."""
