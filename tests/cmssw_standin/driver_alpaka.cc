// Runs the linked alpaka plugin on the reference vectors, as events of no, one and more objects, in four streams at once:
// driver_alpaka PACKAGE_FOLDER REFERENCE. `columns.h` is of the model: its collections, and how an example is filled into them.
#include <iostream>
#include <thread>

#include "columns.h"
#include "reference.h"

namespace {
  using alpaka_serial_sync::Queue;

  std::vector<std::vector<float>> answers_of(alpaka_serial_sync::stream::Produces& producer, const cyclotrain::Reference& reference) {
    std::vector<std::vector<float>> answers;
    const auto& examples = reference.examples;
    for (size_t begin = 0, n = 0; begin < examples.size(); begin += n, n = (n + 1) % 70) {
      n = std::min(n, examples.size() - begin);
      auto objects = std::make_shared<Inputs>(static_cast<int32_t>(n), Queue());
      for (size_t i = 0; i < n; ++i)
        fill(objects->view()[i], examples[begin + i]);
      alpaka_serial_sync::device::Event event;
      event.put("ntuple", objects);
      producer.produce(event, {});
      const auto& result = event.get(alpaka_serial_sync::device::EDGetToken<Outputs>{edm::InputTag("this")});
      assert(result.const_view().metadata().size() == static_cast<int32_t>(n));
      for (size_t i = 0; i < n; ++i)
        answers.push_back(read(result.const_view()[i]));
    }
    return answers;
  }
}  // namespace

int main(int argc, char** argv) try {
  assert(argc == 3);
  edm::FileInPath::search_path() = argv[1];
  const auto reference = cyclotrain::Reference::read(argv[2]);
  edm::ConfigurationDescriptions descriptions;
  AlpakaPlugin::registered().fillDescriptions(descriptions);
  std::vector<std::vector<std::vector<float>>> answers(4);
  std::vector<std::thread> threads;
  for (auto& answer : answers)
    threads.emplace_back([&] { answer = answers_of(*AlpakaPlugin::registered().make(descriptions.defaults()), reference); });
  for (auto& thread : threads)
    thread.join();
  double difference = 0;
  for (const auto& answer : answers)
    difference = std::max(difference, cyclotrain::largest_difference(answer, reference));
  std::cout << reference.examples.size() << " examples, largest difference " << difference << "\n";
  return difference <= cyclotrain::tolerance ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
