// Hands the boxes of an ONNX file with suppression inside to DeepStream. Build it on the board, in one line:
//
//   g++ -std=c++14 -shared -fPIC -o libparse_boxes.so parse_boxes.cpp
//       -I/opt/nvidia/deepstream/deepstream/sources/includes -I/usr/local/cuda/include
//
// Outputs are boxes, scores, labels, or those of the plug-in EfficientNMS_TRT. Boxes are in pixels of the input.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "nvdsinfer_custom_impl.h"

namespace {

const NvDsInferLayerInfo* find(const std::vector<NvDsInferLayerInfo>& layers, const char* name) {
    for (const auto& layer : layers)
        if (layer.layerName && std::strcmp(layer.layerName, name) == 0) return &layer;
    return nullptr;
}

const NvDsInferLayerInfo* find(const std::vector<NvDsInferLayerInfo>& layers, const char* one, const char* other) {
    const NvDsInferLayerInfo* found = find(layers, one);
    return found ? found : find(layers, other);
}

unsigned label_at(const NvDsInferLayerInfo& layer, unsigned row) {
    if (layer.dataType == INT32) return static_cast<unsigned>(static_cast<const int32_t*>(layer.buffer)[row]);
    return static_cast<unsigned>(static_cast<const float*>(layer.buffer)[row] + 0.5f);
}

float inside(float value, unsigned side) { return std::min(std::max(value, 0.0f), static_cast<float>(side)); }

}  // namespace

extern "C" bool NvDsInferParseBoxes(const std::vector<NvDsInferLayerInfo>& layers, const NvDsInferNetworkInfo& network,
                                    const NvDsInferParseDetectionParams& limits,
                                    std::vector<NvDsInferParseObjectInfo>& objects);

extern "C" bool NvDsInferParseBoxes(const std::vector<NvDsInferLayerInfo>& layers, const NvDsInferNetworkInfo& network,
                                    const NvDsInferParseDetectionParams& limits,
                                    std::vector<NvDsInferParseObjectInfo>& objects) {
    const auto* boxes = find(layers, "boxes", "detection_boxes");
    const auto* scores = find(layers, "scores", "detection_scores");
    const auto* labels = find(layers, "labels", "detection_classes");
    const auto* count = find(layers, "num_detections");
    if (!boxes || !scores || !labels) return false;
    unsigned rows = scores->inferDims.numElements;
    if (count) rows = std::min(rows, static_cast<unsigned>(std::max(0, static_cast<const int32_t*>(count->buffer)[0])));
    for (unsigned row = 0; row < rows; ++row) {
        const float score = static_cast<const float*>(scores->buffer)[row];
        const unsigned label = label_at(*labels, row);
        if (label >= limits.numClassesConfigured || label >= limits.perClassPreclusterThreshold.size()) continue;
        if (score <= 0 || score < limits.perClassPreclusterThreshold[label]) continue;
        const float* box = static_cast<const float*>(boxes->buffer) + 4 * row;
        NvDsInferParseObjectInfo object{};
        object.classId = label;
        object.left = inside(box[0], network.width);
        object.top = inside(box[1], network.height);
        object.width = inside(box[2], network.width) - object.left;
        object.height = inside(box[3], network.height) - object.top;
        object.detectionConfidence = score;
        if (object.width > 0 && object.height > 0) objects.push_back(object);
    }
    return true;
}

CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(NvDsInferParseBoxes);
