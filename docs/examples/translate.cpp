// g++ -std=c++17 translate.cpp -o translate -lonnxruntime && ./translate model.onnx photo.ppm drawing.ppm
#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

int main(int count, char** words) {
    if (count != 4) {
        std::cerr << "translate model.onnx photo.ppm drawing.ppm\n";
        return 2;
    }
    std::ifstream source(words[2], std::ios::binary);
    std::string kind;
    int64_t width = 0, height = 0, top = 0;
    source >> kind >> width >> height >> top;
    source.get();
    if (!source || kind != "P6" || top != 255 || width < 1 || height < 1) {
        std::cerr << words[2] << " is not an 8-bit binary PPM file\n";
        return 1;
    }
    std::vector<uint8_t> pixels(width * height * 3);  // red, green, blue of each pixel, row by row
    source.read(reinterpret_cast<char*>(pixels.data()), pixels.size());

    Ort::Env env;
    Ort::Session session(env, std::filesystem::path(words[1]).c_str(), Ort::SessionOptions{});
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const std::array<int64_t, 4> shape{1, height, width, 3};
    const auto image =
        Ort::Value::CreateTensor<uint8_t>(memory, pixels.data(), pixels.size(), shape.data(), shape.size());
    const char* const inputs[] = {"image"};
    const char* const outputs[] = {"output"};
    const auto results = session.Run(Ort::RunOptions{}, inputs, &image, 1, outputs, 1);

    std::ofstream target(words[3], std::ios::binary);
    target << "P6 " << width << ' ' << height << " 255\n";
    target.write(reinterpret_cast<const char*>(results[0].GetTensorData<uint8_t>()), pixels.size());
    return target ? 0 : 1;
}
