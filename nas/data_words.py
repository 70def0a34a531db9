"""What the settings that name a data set mean, in the words of every command and function that takes them."""

from __future__ import annotations

DATA = "Data set in COCO, YOLO, VisDrone, TinyPerson, VOC or labelme format, or sequences of VisDrone, UAVDT or MOT."
DATA_FORMAT = (
    "Format of the data set: coco, tinyperson, yolo, visdrone, voc, labelme, visdrone-vid, uavdt, mot or one from a "
    "plug-in."
)
IMAGES = "Folder of the images, if they are not beside the annotations."
CLASSES = (
    "Use only these classes, in this order. Names of --merge may be among them; --other-classes says what becomes of "
    "the others. May be repeated."
)
MERGE = "Make one class of several. The other classes are kept, unless --classes leaves them out. May be repeated."
OTHER_CLASSES = (
    "What the boxes of classes that --classes leaves out become: background, or ignore for regions in which detections "
    "count neither as true nor as false."
)
OTHER_CLASSES_CHOICES = ("background", "ignore")
PIXEL_RANGE = (
    "Values that become 0 and 255 in images of more than 8 bits, such as 16-bit thermal images; others are cut off."
)
PIXEL_RANGE_DEFAULT = "percentiles of a sample of the training images"
SPLIT = "Which pair of annotation files (training and validation) to use, if the folder has several."
