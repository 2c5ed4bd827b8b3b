// Reference vectors: inputs of real examples and the answers that the model must give.
#pragma once

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace cyclotrain {

  constexpr double tolerance = 1e-6;

  struct Reference {
    std::vector<std::map<std::string, std::vector<float>>> examples;  // values by branch
    std::vector<std::vector<float>> expected;                         // [example][class]

    // The lines of the file: `example`; `input NAME N VALUES...`, a NAME with spaces in quotation marks; `output N VALUES...`
    static Reference read(const std::string& path) {
      std::ifstream file(path);
      if (!file)
        throw std::runtime_error(path + ": cannot open this file");
      auto values = [&file] {
        size_t n = 0;
        file >> n;
        std::vector<float> numbers(n);
        std::string word;  // read by strtof, because streams do not read denormals
        for (auto& value : numbers) {
          file >> word;
          value = std::strtof(word.c_str(), nullptr);
        }
        return numbers;
      };
      Reference reference;
      for (std::string word; file >> word;) {
        if (word == "example") {
          reference.examples.emplace_back();
        } else if (word == "input" && !reference.examples.empty()) {
          std::string branch;
          file >> std::quoted(branch);
          reference.examples.back()[branch] = values();
        } else if (word == "output") {
          reference.expected.push_back(values());
        } else {
          throw std::runtime_error(path + ": unknown word '" + word + "'");
        }
      }
      if (reference.examples.empty() || reference.examples.size() != reference.expected.size())
        throw std::runtime_error(path + ": truncated; copy it again from the bundle");
      return reference;
    }
  };

  // The result is NaN if an answer is NaN.
  inline double largest_difference(const std::vector<std::vector<float>>& answers,
                                   const std::vector<std::vector<float>>& expected) {
    double largest = 0;
    for (size_t row = 0; row < expected.size(); ++row)
      for (size_t i = 0; i < expected[row].size(); ++i) {
        const double difference = std::abs(double(answers.at(row).at(i)) - expected[row][i]);
        if (!(difference <= largest))
          largest = difference;
      }
    return largest;
  }

}  // namespace cyclotrain
