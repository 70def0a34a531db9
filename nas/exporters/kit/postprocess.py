"""Decodes the outputs of the ONNX files beside this script. Needs numpy, and OpenCV to scale pictures.

    import json, cv2, onnxruntime
    from postprocess import detections, prepare

    described = json.load(open("detector.json"))
    session = onnxruntime.InferenceSession("model.onnx")
    picture = cv2.cvtColor(cv2.imread("picture.jpg"), cv2.COLOR_BGR2RGB)
    feed, fit = prepare(picture, described["input_hw"], described["fit"], described.get("pixel_range"))
    boxes, scores, labels = detections(session.run(None, {"image": feed}), described, fit)

A two-stage head has a second file: pass
`second_stage=lambda features: onnxruntime.InferenceSession("second_stage.onnx").run(None, {"features": features})[0]`,
with a session that is created once. Pictures of more than 8 bits are read with `cv2.IMREAD_UNCHANGED`.
"""

import numpy as np

PAD_VALUE = 114
NUM_CANDIDATES = 1000
"""Candidates with the best scores: (position, class) pairs per image, and anchors per level of a first stage."""
NUM_READ = 300
"""Positions, and (position, class) pairs, with the best scores that are read from a head without suppression."""
NMS_IOU = 0.6
LEAST_SCORE = 0.001
FIRST_STAGE_IOU = 0.7


def prepare(image, input_hw, how="letterbox", pixel_range=None):
    """Scales a picture `(H, W, 3)` RGB, or `(H, W)`, to the input.

    Args:
        how: `fit` of `detector.json`: `letterbox` keeps the aspect ratio and pads with grey, `stretch` fills the input.
        pixel_range: `pixel_range` of `detector.json`: the values that become 0 and 255 in a picture that is not uint8.

    Returns:
        `(1, 3, H, W)` 32-bit floats from 0 to 1, and the `fit` argument of `detections`.
    """
    import cv2

    image = in_8_bits(image, pixel_range)
    if how == "stretch":
        height, width = input_hw
    else:
        gain = min(input_hw[0] / image.shape[0], input_hw[1] / image.shape[1])
        height, width = max(1, round(image.shape[0] * gain)), max(1, round(image.shape[1] * gain))
    top, left = (input_hw[0] - height) // 2, (input_hw[1] - width) // 2
    canvas = np.full((*input_hw, 3), PAD_VALUE, np.uint8)
    if image.shape[:2] != (height, width):
        method = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
        scaled = cv2.resize(image, (width, height), interpolation=method)
    else:
        scaled = image
    canvas[top : top + height, left : left + width] = scaled
    fit = {
        "scale": np.array([width / image.shape[1], height / image.shape[0]] * 2),
        "shift": np.array([left, top] * 2, np.float64),
        "hw": image.shape[:2],
    }
    return canvas.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255), fit


def in_8_bits(image, pixel_range=None):
    """Returns a picture `(H, W, 3)` or `(H, W)` as `(H, W, 3)` uint8; values other than uint8 are scaled."""
    if image.dtype != np.uint8:
        if pixel_range is None:
            raise ValueError(f"the picture has {image.dtype} values; give pixel_range=(low, high) to scale them from")
        low, high = pixel_range
        shares = (image.astype(np.float64) - low) / (high - low)
        image = np.rint(255 * np.nan_to_num(shares, nan=0.0).clip(0, 1)).astype(np.uint8)
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def detections(outputs, described, fit=None, *, threshold=0.25, iou=None, most=300, second_stage=None):
    """Returns boxes `(N, 4)` as x1, y1, x2, y2 px of the picture, scores `(N,)` and class indices `(N,)`, best first.

    Args:
        outputs: Outputs of `model.onnx` for one picture, in order.
        described: Content of `detector.json`.
        fit: Second result of `prepare`; without it boxes are in pixels of the input.
        threshold: Detections with a lower score are dropped.
        iou: Of two boxes of a class with more overlap the worse one is dropped; a two-stage head lowers its score.
            None: 0.6, and no suppression if `nms` in `detector.json` is false.
        most: Maximum number of detections.
        second_stage: Runs `second_stage.onnx` of a two-stage head: `(N, C)` features to `(N, num_classes + 5)`.
    """
    needs_nms, is_decoded = described.get("nms", True), described["outputs"] != "raw"
    if not needs_nms and (iou is None or is_decoded):
        boxes, scores, labels = _read_top(outputs, described, threshold)
    else:
        boxes, scores, labels = _candidates(outputs, described, threshold, iou, second_stage)
    keep = np.arange(len(boxes))
    if described["head"] != "two_stage" and (needs_nms or iou is not None):
        keep = suppressed(boxes, NMS_IOU if iou is None else iou, labels)
    boxes, scores, labels = boxes[keep[:most]], scores[keep[:most]], labels[keep[:most]]
    if fit is not None:
        boxes = (boxes - fit["shift"]) / fit["scale"]
        boxes = boxes.clip(0, np.array([fit["hw"][1], fit["hw"][0]] * 2))
    return boxes.astype(np.float32), scores, labels


def _candidates(outputs, described, threshold, iou, second_stage):
    """Returns the boxes, scores and classes that suppression chooses from, best first; of a two-stage head the rest."""
    boxes, scores = table(outputs, described, second_stage)
    scores = np.where(scores < scores.max(axis=1, keepdims=True), 0, scores)  # one class per position
    if described["head"] == "two_stage":
        scores = soft_suppressed(boxes, scores, NMS_IOU if iou is None else iou, max(threshold, LEAST_SCORE))
    flat = scores.ravel()
    best = np.argsort(-flat, kind="stable")[:NUM_CANDIDATES]
    best = best[flat[best] >= max(threshold, LEAST_SCORE if described["head"] == "two_stage" else 0)]
    return boxes[best // scores.shape[1]], flat[best], best % scores.shape[1]


def _read_top(outputs, described, threshold):
    """Returns boxes, scores and classes of a head, or of a file, that gives one box per object, best first."""
    if "nms_operator" in described:  # inside the file; rows after the last detection have a score of 0
        if described["nms_operator"] == "efficient":
            count = max(0, int(outputs[0].ravel()[0]))
            outputs = [each[:, :count] for each in outputs[1:]]
        keep = outputs[1][0] >= max(threshold, LEAST_SCORE)
        return outputs[0][0][keep], outputs[1][0][keep], outputs[2][0][keep].astype(int)
    if described["outputs"] != "raw":
        boxes, scores, labels = outputs[0][0], outputs[1][0], outputs[2][0].astype(int)
    else:
        boxes, scores = table(outputs, described)
        points = np.argsort(-scores.max(axis=1), kind="stable")[:NUM_READ]
        flat = scores[points].ravel()
        best = np.argsort(-flat, kind="stable")[:NUM_READ]
        places, labels = best // scores.shape[1], best % scores.shape[1]
        boxes, scores = boxes[points[places]], flat[best]
    first = np.unique(boxes, axis=0, return_index=True)[1]  # one class per position: the best one
    keep = np.sort(first[scores[first] >= threshold])
    return boxes[keep], scores[keep], labels[keep]


def table(outputs, described, second_stage=None):
    """Returns all boxes `(A, 4)` in px of the input and their scores `(A, num_classes)`, before suppression."""
    if described["outputs"] == "decoded":
        return outputs[0][0], outputs[1][0]
    read = {"anchor_free": _anchor_free, "ssd": _ssd, "two_stage": _two_stage}[described["head"]]
    return read(outputs, described, second_stage)


def _anchor_free(outputs, described, _):
    """Each cell: distances to the four sides in cells, then class logits.

    A distance is a distribution over 0 to `reg_max` - 1, or with a `reg_max` of 1 the number itself.
    """
    bins, boxes, scores = described["reg_max"], [], []
    for level, stride in zip(outputs, described["strides"]):
        rows = level[0].reshape(level.shape[1], -1).T
        y, x = np.mgrid[: level.shape[2], : level.shape[3]].reshape(2, -1)
        points = (np.stack((x, y), 1) + 0.5) * stride
        sides = rows[:, : 4 * bins].reshape(-1, 4, bins)
        sides = (softmax(sides) @ np.arange(bins) if bins > 1 else sides[:, :, 0]) * stride
        boxes.append(np.concatenate((points - sides[:, :2], points + sides[:, 2:]), 1))
        scores.append(1 / (1 + np.exp(-rows[:, 4 * bins :])))
    return np.concatenate(boxes), np.concatenate(scores)


def _ssd(outputs, described, _):
    """Each cell: offsets from k anchors, then class logits of k anchors with the background first."""
    num_logits, offsets, logits = len(described["classes"]) + 1, [], []
    for level in outputs:
        num_anchors = level.shape[1] // (4 + num_logits)
        cells = level[0].transpose(1, 2, 0)
        offsets.append(cells[..., : 4 * num_anchors].reshape(-1, 4))
        logits.append(cells[..., 4 * num_anchors :].reshape(-1, num_logits))
    boxes = moved(np.concatenate(offsets) * described["offset_scales"], np.asarray(described["anchors"]))
    return boxes, softmax(np.concatenate(logits))[:, 1:]


def _two_stage(outputs, described, second_stage):
    """Proposals of the first stage, their features, then class logits (background first) and one box per proposal."""
    if second_stage is None:
        raise ValueError("a two-stage head needs second_stage=, which runs second_stage.onnx")
    num_levels = len(described["strides"])
    proposals = _proposals(outputs[:num_levels], described)
    features = _features(outputs[num_levels:], proposals, described["second_stage"])
    found = second_stage(features.astype(np.float32))
    boxes = moved(found[:, -4:] * described["offset_scales"], proposals + [0, 0, 1, 1])
    return _inside(boxes - [0, 0, 1, 1], described["input_hw"]) + [0, 0, 1, 1], softmax(found[:, :-4])[:, 1:]


def _proposals(maps, described):
    """Returns the proposals `(N, 4)`, given by the centres of their first and last pixels."""
    all_boxes, all_scores, stays = [], [], []
    for level, stride, shapes in zip(maps, described["strides"], described["first_anchors"]):
        cells, shapes = level[0].transpose(1, 2, 0), np.asarray(shapes)
        logits = cells[..., : len(shapes)].ravel()
        offsets = cells[..., len(shapes) :].reshape(-1, 4)
        y, x = np.mgrid[: level.shape[2], : level.shape[3]] * stride
        anchors = (np.stack((x, y, x, y), -1)[:, :, None] + shapes).reshape(-1, 4)
        best = np.argsort(-logits, kind="stable")[:NUM_CANDIDATES]
        boxes = _inside(moved(offsets[best], anchors[best] + [0, 0, 1, 1]) - [0, 0, 1, 1], described["input_hw"])
        stay = np.zeros(len(best), bool)
        stay[suppressed(boxes + [0, 0, 1, 1], FIRST_STAGE_IOU)] = True
        all_boxes.append(boxes), all_scores.append(logits[best]), stays.append(stay)
    order = np.argsort(-np.concatenate(all_scores), kind="stable")
    order = order[np.argsort(~np.concatenate(stays)[order], kind="stable")]
    boxes, wanted = np.concatenate(all_boxes)[order], described["num_proposals"]
    return boxes[np.arange(wanted) % len(boxes)]


def _features(maps, boxes, stage):
    """Position-sensitive RoI align with the maximum of 2x2 samples.

    Bin (i, j) of plane t is channel (t * bins + i) * bins + j.
    """
    bins, channels = stage["bins"], maps[0].shape[1]
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2] + 1, 1)
    levels = (
        np.floor(np.log2(np.sqrt(sides.prod(axis=1)) / stage["roi_scale"] + 1e-6)).clip(0, len(maps) - 1).astype(int)
    )
    features = np.zeros((len(boxes), channels), np.float32)
    bin_of = np.arange(2 * bins) // 2
    for level, stride in enumerate(stage["strides"]):
        chosen = np.flatnonzero(levels == level)
        if not len(chosen):
            continue
        cells = maps[level][0].reshape(-1, bins, bins, *maps[level].shape[2:])
        x1, y1, x2, y2 = boxes[chosen].T / stride
        rows, columns = _samples(y1, y2, cells.shape[3], bins), _samples(x1, x2, cells.shape[4], bins)
        values = _bilinear(cells, bin_of, rows, columns)
        best = values.reshape(len(cells), len(chosen), bins, 2, bins, 2).max(axis=(3, 5))
        features[chosen] = best.transpose(1, 0, 2, 3).reshape(len(chosen), channels)
    return features


def _samples(starts, ends, length, bins):
    """Returns the sample points `(N, 2 * bins)` along an axis of maps: lower and upper cell, fraction, 1 if inside."""
    sides = np.maximum(ends - starts, 0.1)[:, None]
    positions = starts[:, None] + sides * (np.arange(2 * bins) + 0.5) / (2 * bins)
    inside = ((positions >= -1) & (positions <= length)).astype(float)
    positions = positions.clip(0, length - 1)
    low = positions.astype(int)
    return low, np.minimum(low + 1, length - 1), positions - low, inside


def _bilinear(cells, bin_of, rows, columns):
    """Returns the values `(planes, N, 2 * bins, 2 * bins)` of maps `(planes, bins, bins, H, W)` between their cells.

    Sample i along an axis is read from the map of bin `bin_of[i]`.
    """
    top, bottom, down, inside_y = (each[:, :, None] for each in rows)
    left, right, across, inside_x = (each[:, None, :] for each in columns)
    i, j = bin_of[:, None], bin_of[None, :]
    upper = cells[:, i, j, top, left] * (1 - across) + cells[:, i, j, top, right] * across
    lower = cells[:, i, j, bottom, left] * (1 - across) + cells[:, i, j, bottom, right] * across
    return (upper * (1 - down) + lower * down) * (inside_y * inside_x)


def moved(offsets, references):
    """Applies offsets dx, dy, dw, dh to reference boxes; boxes are x1, y1, x2, y2."""
    centres, sizes = (references[:, :2] + references[:, 2:]) / 2, references[:, 2:] - references[:, :2]
    limit = np.log(1000 / 16)
    centres = centres + offsets[:, :2] * sizes
    half = sizes * np.exp(np.clip(offsets[:, 2:], -limit, limit)) / 2
    return np.concatenate((centres - half, centres + half), 1)


def _inside(boxes, input_hw):
    return boxes.clip(0, [input_hw[1] - 1, input_hw[0] - 1] * 2)


def softmax(values):
    """Returns the softmax over the last axis."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def overlaps(boxes):
    """Returns the pairwise IoU `(N, N)` of boxes `(N, 4)`."""
    size = np.maximum(
        np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2]), 0
    )
    shared = size.prod(axis=-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=-1)
    return shared / np.maximum(areas[:, None] + areas - shared, 1e-9)


def suppressed(boxes, iou, labels=None):
    """Non-maximum suppression: returns the indices of kept boxes; boxes are sorted best first."""
    beats = overlaps(boxes) > iou
    if labels is not None:
        beats &= labels[:, None] == labels
    gone, kept = np.zeros(len(boxes), bool), []
    for index in range(len(boxes)):
        if not gone[index]:
            kept.append(index)
            gone |= beats[index]
    return np.array(kept, int)


def soft_suppressed(boxes, scores, iou, least):
    """Soft suppression: multiplies scores `(N, C)` by 1 - IoU for each better box of the class that overlaps."""
    shared = overlaps(boxes)
    share, taken = np.where(shared > iou, np.maximum(1 - shared, 0), 1), np.zeros_like(scores)
    for label in range(scores.shape[1]):
        left = scores[:, label].copy()
        while left.size and left.max() >= least:
            best = int(left.argmax())
            taken[best, label] = left[best]
            left *= share[best]
            left[best] = 0
    return taken
