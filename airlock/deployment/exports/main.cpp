// Answer with a packaged model, on OpenVINO:
//   airlock_model MODEL TENSOR.npy ...              one line a tensor: label, then the probabilities
//   airlock_model --check TOLERANCE MODEL TENSOR.npy STATED.npy ...   status 1 when one differs by more
// A tensor is what the use case's preprocessing made, (height, width, channels) as airlock_model.hpp says, in C order.
// Status 2: what was given is wrong, and standard error says how.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <openvino/openvino.hpp>
#include <sstream>
#include <stdexcept>

#include "airlock_model.hpp"

struct Array {
    std::string type;
    std::vector<size_t> shape;
    std::vector<char> data;
};

static std::string field(const std::string& header, const std::string& name) {
    const auto at = header.find("'" + name + "':");
    if (at == std::string::npos) throw std::runtime_error("no field " + name + " in the header");
    auto from = header.find_first_not_of(' ', at + name.size() + 3);
    const auto to = header[from] == '(' ? header.find(')', from) : header.find(',', from);
    return header.substr(from, to - from);
}

// NumPy's format, versions 1 to 3: magic, version, length of the header, a Python literal, the bytes.
static Array read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    char magic[8];
    if (!file.read(magic, 8) || std::string(magic, 6) != "\x93NUMPY") throw std::runtime_error(path + " is no .npy file");
    unsigned char size[4] = {0, 0, 0, 0};
    file.read(reinterpret_cast<char*>(size), magic[6] == 1 ? 2 : 4);
    std::string header(size[0] | size[1] << 8 | size[2] << 16 | size_t(size[3]) << 24, ' ');
    file.read(header.data(), header.size());
    if (field(header, "fortran_order") != "False") throw std::runtime_error(path + " is in Fortran's order");
    Array array{field(header, "descr"), {}, {}};
    std::istringstream numbers(field(header, "shape").substr(1));
    for (std::string part; std::getline(numbers, part, ',');)
        if (part.find_first_of("0123456789") != std::string::npos) array.shape.push_back(std::stoul(part));
    array.data.assign(std::istreambuf_iterator<char>(file), {});
    return array;
}

static std::vector<float> predict(ov::InferRequest& request, const std::string& path) {
    const auto array = read(path);
    if (array.type != "'" AIRLOCK_DTYPE "'" || array.shape != airlock::shape)
        throw std::runtime_error(path + " does not hold a tensor of the type and shape in airlock_model.hpp");
    ov::Shape shape{1};
    shape.insert(shape.end(), array.shape.begin(), array.shape.end());
    ov::Tensor input(request.get_compiled_model().input().get_element_type(), shape);
    if (input.get_byte_size() != array.data.size()) throw std::runtime_error(path + " is cut short");
    std::copy(array.data.begin(), array.data.end(), static_cast<char*>(input.data()));
    request.set_input_tensor(input);
    request.infer();
    const auto output = request.get_output_tensor();
    return {output.data<float>(), output.data<float>() + output.get_size()};
}

static int check(ov::InferRequest& request, float tolerance, int count, char** files) {
    float worst = 0;
    for (int at = 0; at + 1 < count; at += 2) {
        const auto answer = predict(request, files[at]);
        const auto stated = read(files[at + 1]);
        if (stated.data.size() != answer.size() * sizeof(float)) throw std::runtime_error("another number of classes");
        const auto* values = reinterpret_cast<const float*>(stated.data.data());
        for (size_t i = 0; i < answer.size(); ++i) {
            const auto difference = std::fabs(answer[i] - values[i]);
            worst = difference > worst || std::isnan(difference) ? difference : worst;
        }
    }
    std::cout << "difference " << worst << " tolerance " << tolerance << "\n";
    return worst <= tolerance ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int count, char** given) try {
    const bool checks = count > 3 && std::string(given[1]) == "--check";
    const int model = checks ? 3 : 1;
    if (count <= model + 1) throw std::runtime_error("usage: airlock_model [--check TOLERANCE] MODEL TENSOR.npy ...");
    ov::Core core;
    core.set_property("CPU", ov::inference_num_threads(1));
    auto request = core.compile_model(given[model], "CPU", ov::hint::inference_precision(ov::element::f32)).create_infer_request();
    if (checks) return check(request, std::strtof(given[2], nullptr), count - model - 1, given + model + 1);
    std::cout.precision(9);
    for (int at = model + 1; at < count; ++at) {
        const auto answer = predict(request, given[at]);
        std::cout << airlock::classes.at(std::max_element(answer.begin(), answer.end()) - answer.begin());
        for (const auto value : answer) std::cout << ' ' << value;
        std::cout << '\n';
    }
    return EXIT_SUCCESS;
} catch (const std::exception& error) {
    std::cerr << "airlock_model: " << error.what() << "\n";
    return 2;
}
