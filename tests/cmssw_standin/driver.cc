// Runs the linked plugin on the reference vectors, a few objects per event: driver PACKAGE_FOLDER REFERENCE, then for each
// branch its name, the instance of its product, and `scalar` or `jagged`.
// Then runs it on an event without objects, and on one with a wrong number of constituents, which must throw.
#include <algorithm>
#include <iostream>
#include <thread>

#include "reference.h"
#include "standin.h"

namespace {
  using Branches = std::map<std::string, std::vector<float>>;

  struct Product {
    std::string instance;
    bool is_jagged;
  };

  edm::Event make_event(const std::vector<Branches>& objects, const std::map<std::string, Product>& inputs) {
    edm::Event event;
    for (const auto& [branch, product] : inputs) {
      auto scalars = std::make_shared<std::vector<float>>();
      auto lists = std::make_shared<std::vector<std::vector<float>>>();
      for (const auto& object : objects) {
        if (product.is_jagged)
          lists->push_back(object.at(branch));
        else
          scalars->push_back(object.at(branch).at(0));
      }
      if (product.is_jagged)
        event.put_as("ntuple", product.instance, lists);
      else
        event.put_as("ntuple", product.instance, scalars);
    }
    return event;
  }

  std::vector<std::vector<float>> products(const edm::Event& event, const std::vector<std::string>& classes) {
    std::vector<std::vector<float>> by_class;
    for (const auto& name : classes)
      by_class.push_back(event.get(edm::EDGetTokenT<std::vector<float>>{edm::InputTag("this", name)}));
    return by_class;
  }

  std::vector<std::vector<float>> answers_of(edm::stream::Produces& producer, const std::vector<Branches>& examples,
                                             const std::map<std::string, Product>& inputs) {
    std::vector<std::vector<float>> answers;
    constexpr size_t per_event = 7;
    for (size_t begin = 0; begin < examples.size(); begin += per_event) {
      const size_t end = std::min(begin + per_event, examples.size());
      const std::vector<Branches> objects(examples.begin() + begin, examples.begin() + end);
      auto event = make_event(objects, inputs);
      producer.produce(event, {});
      const auto by_class = products(event, producer.produced());
      for (size_t object = 0; object < objects.size(); ++object) {
        answers.emplace_back();
        for (const auto& values : by_class)
          answers.back().push_back(values.at(object));
      }
    }
    return answers;
  }
}  // namespace

int main(int argc, char** argv) try {
  assert(argc >= 3);
  edm::FileInPath::search_path() = argv[1];
  const auto reference = cyclotrain::Reference::read(argv[2]);
  std::map<std::string, Product> inputs;
  std::string jagged;  // one of the branches of constituents
  for (int i = 3; i + 2 < argc; i += 3) {
    inputs[argv[i]] = {argv[i + 1], std::string(argv[i + 2]) == "jagged"};
    if (inputs[argv[i]].is_jagged)
      jagged = argv[i];
  }
  Plugin& plugin = Plugin::registered();
  edm::ConfigurationDescriptions descriptions;
  plugin.fillDescriptions(descriptions);
  const auto cache = plugin.initializeGlobalCache(descriptions.defaults());
  // four streams of the framework, each in a thread, share the cache
  std::vector<std::unique_ptr<edm::stream::Produces>> streams;
  std::vector<std::vector<std::vector<float>>> answers(4);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < answers.size(); ++i)
    streams.push_back(plugin.make(descriptions.defaults(), cache));
  for (size_t i = 0; i < answers.size(); ++i)
    threads.emplace_back([&, i] { answers[i] = answers_of(*streams[i], reference.examples, inputs); });
  for (auto& thread : threads)
    thread.join();
  double difference = 0;
  for (const auto& answer : answers)
    difference = std::max(difference, cyclotrain::largest_difference(answer, reference));
  auto& producer = streams.front();
  auto empty = make_event({}, inputs);
  producer->produce(empty, {});
  for (const auto& product : products(empty, producer->produced()))
    assert(product.empty());
  auto wrong = std::vector<Branches>{reference.examples.front(), reference.examples.back()};
  std::string message;
  if (!jagged.empty()) {
    wrong.back().at(jagged).push_back(1.f);
    auto event = make_event(wrong, inputs);
    try {
      producer->produce(event, {});
    } catch (const cms::Exception& error) {
      message = error.what();
    }
  }
  plugin.globalEndJob(cache);
  std::cout << descriptions.label() << ": " << reference.examples.size() << " examples, largest difference " << difference << "\n"
            << message << "\n";
  return difference <= cyclotrain::tolerance ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
