"""What the settings that name a data set mean, in the words of every command and function that takes them."""

from __future__ import annotations

DATA = "Data set in COCO, YOLO, VisDrone, TinyPerson or VOC format."
DATA_FORMAT = "Format of the data set: coco, tinyperson, yolo, visdrone, voc or one from a plug-in."
IMAGES = "Folder of the images, if they are not beside the annotations."
PIXEL_RANGE = (
    "Values that become 0 and 255 in images of more than 8 bits, such as 16-bit thermal images; others are cut off."
)
PIXEL_RANGE_DEFAULT = "percentiles of a sample of the training images"
SPLIT = "Which pair of annotation files (training and validation) to use, if the folder has several."
