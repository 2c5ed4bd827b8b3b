// Runs the linked plugin on the reference vectors, a few objects per event: driver PACKAGE_FOLDER REFERENCE JAGGED_BRANCHES...
// Then runs it on an event without objects, and on one with a wrong number of constituents, which must throw.
#include <algorithm>
#include <iostream>

#include "reference.h"
#include "standin.h"

namespace {
  using Branches = std::map<std::string, std::vector<float>>;

  std::string camel(const std::string& name) {
    std::string instance;
    bool upper = false;
    for (char c : name) {
      if (c == '_')
        upper = true;
      else {
        instance += upper ? static_cast<char>(std::toupper(c)) : c;
        upper = false;
      }
    }
    return instance;
  }

  edm::Event make_event(const std::vector<Branches>& objects, const Branches& names, const std::vector<std::string>& jagged) {
    edm::Event event;
    for (const auto& [branch, unused] : names) {
      const bool is_jagged = std::find(jagged.begin(), jagged.end(), branch) != jagged.end();
      auto scalars = std::make_shared<std::vector<float>>();
      auto lists = std::make_shared<std::vector<std::vector<float>>>();
      for (const auto& object : objects) {
        if (is_jagged)
          lists->push_back(object.at(branch));
        else
          scalars->push_back(object.at(branch).at(0));
      }
      if (is_jagged)
        event.put_as("ntuple", camel(branch), lists);
      else
        event.put_as("ntuple", camel(branch), scalars);
    }
    return event;
  }

  std::vector<std::vector<float>> products(const edm::Event& event, const std::vector<std::string>& classes) {
    std::vector<std::vector<float>> by_class;
    for (const auto& name : classes)
      by_class.push_back(event.get(edm::EDGetTokenT<std::vector<float>>{edm::InputTag("this", name)}));
    return by_class;
  }
}  // namespace

int main(int argc, char** argv) try {
  assert(argc >= 3);
  edm::FileInPath::search_path() = argv[1];
  const auto reference = cyclotrain::Reference::read(argv[2]);
  const std::vector<std::string> jagged(argv + 3, argv + argc);
  Plugin& plugin = Plugin::registered();
  edm::ConfigurationDescriptions descriptions;
  plugin.fillDescriptions(descriptions);
  const auto cache = plugin.initializeGlobalCache(descriptions.defaults());
  const auto producer = plugin.make(descriptions.defaults(), cache.get());
  producer->set_global_cache(cache.get());
  std::vector<std::vector<float>> answers;
  constexpr size_t per_event = 7;
  for (size_t begin = 0; begin < reference.examples.size(); begin += per_event) {
    const size_t end = std::min(begin + per_event, reference.examples.size());
    const std::vector<Branches> objects(reference.examples.begin() + begin, reference.examples.begin() + end);
    auto event = make_event(objects, objects.front(), jagged);
    producer->produce(event, {});
    const auto by_class = products(event, producer->produced());
    for (size_t object = 0; object < objects.size(); ++object) {
      answers.emplace_back();
      for (const auto& probabilities : by_class)
        answers.back().push_back(probabilities.at(object));
    }
  }
  const double largest = cyclotrain::largest_difference(answers, reference.expected);
  auto empty = make_event({}, reference.examples.front(), jagged);
  producer->produce(empty, {});
  for (const auto& product : products(empty, producer->produced()))
    assert(product.empty());
  auto wrong = std::vector<Branches>{reference.examples.front(), reference.examples.back()};
  std::string message;
  if (!jagged.empty()) {
    wrong.back().at(jagged.back()).push_back(1.f);
    auto event = make_event(wrong, wrong.front(), jagged);
    try {
      producer->produce(event, {});
    } catch (const cms::Exception& error) {
      message = error.what();
    }
  }
  plugin.globalEndJob(cache.get());
  std::cout << descriptions.label() << ": " << reference.examples.size() << " examples, largest difference " << largest << "\n"
            << message << "\n";
  return largest <= cyclotrain::tolerance ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 2;
}
