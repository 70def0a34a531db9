"""What the settings that name a data set mean, in the words of every command and function that takes them."""

from __future__ import annotations

DATA = "Data set in COCO, YOLO, VisDrone, TinyPerson, VOC or labelme format, or sequences of VisDrone, UAVDT or MOT."
DATA_FORMAT = (
    "Format of the data set: coco, tinyperson, yolo, visdrone, voc, labelme, visdrone-vid, uavdt, mot or one from a "
    "plug-in."
)
IMAGES = "Folder of the images, if they are not beside the annotations."
SPLIT = "Which pair of annotation files (training and validation) to use, if the folder has several."
