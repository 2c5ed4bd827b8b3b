// Stand-ins for the classes of CMSSW that a generated producer uses, with only the members that it needs: a parameter set is a
// map, an event has products by label and instance. `cms::Ort::ONNXRuntime` has the published interface and the real ONNX Runtime.
#pragma once

#include <any>
#include <cassert>
#include <cctype>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <typeindex>
#include <utility>
#include <vector>

#include <onnxruntime_cxx_api.h>

namespace cms {
  class Exception : public std::exception {
  public:
    explicit Exception(std::string category) : text_(std::move(category) + ": ") {}
    Exception(const Exception&) = default;
    template <typename T>
    Exception& operator<<(const T& part) {
      std::ostringstream stream;
      stream << part;
      text_ += stream.str();
      return *this;
    }
    const char* what() const noexcept override { return text_.c_str(); }

  private:
    std::string text_;
  };
}  // namespace cms

namespace edm {
  // The framework refuses other names of products and modules.
  inline void require_alphanumeric(const std::string& name) {
    for (unsigned char c : name)
      if (!std::isalnum(c))
        throw cms::Exception("Configuration") << "'" << name << "' must have only letters and digits";
  }

  class InputTag {
  public:
    InputTag() = default;
    InputTag(std::string label, std::string instance) : label_(std::move(label)), instance_(std::move(instance)) {
      require_alphanumeric(instance_);
    }
    const std::string& label() const { return label_; }
    const std::string& instance() const { return instance_; }

  private:
    std::string label_, instance_;
  };

  class FileInPath {
  public:
    FileInPath() = default;
    explicit FileInPath(std::string path) : path_(std::move(path)) {}
    std::string fullPath() const { return search_path() + "/" + path_; }
    static std::string& search_path() {
      static std::string path;
      return path;
    }

  private:
    std::string path_;
  };

  class ParameterSet {
  public:
    template <typename T>
    T getParameter(const std::string& name) const {
      const auto found = values_.find(name);
      if (found == values_.end())
        throw cms::Exception("Configuration") << "no parameter '" << name << "'";
      return std::any_cast<T>(found->second);
    }
    template <typename T>
    void set(const std::string& name, const T& value) {
      values_[name] = value;
    }

  private:
    std::map<std::string, std::any> values_;
  };

  class ParameterSetDescription {
  public:
    template <typename T>
    void add(const std::string& name, const T& value) {
      if constexpr (std::is_same_v<T, ParameterSetDescription>)
        defaults_.set(name, value.defaults_);
      else
        defaults_.set(name, value);
    }
    const ParameterSet& defaults() const { return defaults_; }

  private:
    ParameterSet defaults_;
  };

  class ConfigurationDescriptions {
  public:
    void add(const std::string& label, const ParameterSetDescription& description) {
      require_alphanumeric(label);
      label_ = label;
      defaults_ = description.defaults();
    }
    const std::string& label() const { return label_; }
    const ParameterSet& defaults() const { return defaults_; }

  private:
    std::string label_;
    ParameterSet defaults_;
  };

  template <typename T>
  struct EDGetTokenT {
    InputTag tag;
  };

  class EventSetup {};

  class Event {
  public:
    template <typename T>
    const T& get(const EDGetTokenT<T>& token) const {
      const auto found = products_.find(key(token.tag.label(), token.tag.instance(), typeid(T)));
      if (found == products_.end())
        throw cms::Exception("ProductNotFound") << token.tag.label() << ":" << token.tag.instance();
      return *std::any_cast<std::shared_ptr<T>>(found->second);
    }
    template <typename T>
    void put(std::unique_ptr<T> product, const std::string& instance) {
      put_as("this", instance, std::shared_ptr<T>(std::move(product)));
    }
    template <typename T>
    void put_as(const std::string& label, const std::string& instance, std::shared_ptr<T> product) {
      products_[key(label, instance, typeid(T))] = product;
    }

  private:
    using Key = std::pair<std::string, std::type_index>;
    static Key key(const std::string& label, const std::string& instance, std::type_index type) {
      return {label + ":" + instance, type};
    }
    std::map<Key, std::any> products_;
  };

  template <typename T>
  struct GlobalCache {
    using Type = T;
  };

  namespace stream {
    template <typename Cache>
    class EDProducer {
    public:
      virtual ~EDProducer() = default;
      virtual void produce(Event&, const EventSetup&) = 0;
      void set_global_cache(const typename Cache::Type* cache) { cache_ = cache; }
      const std::vector<std::string>& produced() const { return produced_; }

    protected:
      template <typename T>
      EDGetTokenT<T> consumes(const InputTag& tag) {
        return {tag};
      }
      template <typename T>
      void produces(const std::string& instance) {
        require_alphanumeric(instance);
        produced_.push_back(instance);
      }
      const typename Cache::Type* globalCache() const { return cache_; }

    private:
      const typename Cache::Type* cache_ = nullptr;
      std::vector<std::string> produced_;
    };
  }  // namespace stream
}  // namespace edm

namespace cms::Ort {
  using FloatArrays = std::vector<std::vector<float>>;

  class ONNXRuntime {
  public:
    explicit ONNXRuntime(const std::string& model_path, const ::Ort::SessionOptions* options = nullptr)
        : env_(ORT_LOGGING_LEVEL_ERROR, "cmssw"), session_(nullptr) {
      ::Ort::SessionOptions own;
      own.SetIntraOpNumThreads(1);
      session_ = ::Ort::Session(env_, model_path.c_str(), options ? *options : own);
      ::Ort::AllocatorWithDefaultOptions allocator;
      for (size_t i = 0; i < session_.GetInputCount(); ++i)
        inputs_[session_.GetInputNameAllocated(i, allocator).get()] =
            session_.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetShape();
    }
    ONNXRuntime(const ONNXRuntime&) = delete;
    ONNXRuntime& operator=(const ONNXRuntime&) = delete;

    FloatArrays run(const std::vector<std::string>& input_names, FloatArrays& input_values,
                    const std::vector<std::vector<int64_t>>& input_shapes = {},
                    const std::vector<std::string>& output_names = {}, int64_t batch_size = 1) const {
      assert(input_names.size() == input_values.size());
      assert(input_shapes.empty() || input_names.size() == input_shapes.size());
      assert(batch_size > 0);
      auto memory = ::Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
      std::vector<::Ort::Value> tensors;
      std::vector<const char*> inputs, outputs;
      for (size_t i = 0; i < input_names.size(); ++i) {
        const auto found = inputs_.find(input_names[i]);
        if (found == inputs_.end())
          throw cms::Exception("RuntimeError") << "Input " << input_names[i] << " is not an input of the model";
        auto shape = input_shapes.empty() ? found->second : input_shapes[i];
        shape[0] = batch_size;
        int64_t expected = 1;
        for (auto n : shape)
          expected *= n;
        if (expected != static_cast<int64_t>(input_values[i].size()))
          throw cms::Exception("RuntimeError") << "Input array " << input_names[i] << " has a wrong size of "
                                               << input_values[i].size() << ", expected " << expected;
        tensors.push_back(::Ort::Value::CreateTensor<float>(memory, input_values[i].data(), input_values[i].size(), shape.data(),
                                                            shape.size()));
        inputs.push_back(input_names[i].c_str());
      }
      for (const auto& name : output_names)
        outputs.push_back(name.c_str());
      auto answers = session_.Run(::Ort::RunOptions{nullptr}, inputs.data(), tensors.data(), tensors.size(), outputs.data(),
                                  outputs.size());
      FloatArrays result;
      for (auto& answer : answers) {
        const auto info = answer.GetTensorTypeAndShapeInfo();
        assert(info.GetShape()[0] == batch_size);
        const float* values = answer.GetTensorData<float>();
        result.emplace_back(values, values + info.GetElementCount());
      }
      return result;
    }

  private:
    ::Ort::Env env_;
    mutable ::Ort::Session session_;
    std::map<std::string, std::vector<int64_t>> inputs_;
  };
}  // namespace cms::Ort

// What the framework does with a plugin, for a driver that does not know its class.
class Plugin {
public:
  using Producer = edm::stream::EDProducer<edm::GlobalCache<cms::Ort::ONNXRuntime>>;
  std::function<void(edm::ConfigurationDescriptions&)> fillDescriptions;
  std::function<std::unique_ptr<cms::Ort::ONNXRuntime>(const edm::ParameterSet&)> initializeGlobalCache;
  std::function<std::unique_ptr<Producer>(const edm::ParameterSet&, const cms::Ort::ONNXRuntime*)> make;
  std::function<void(const cms::Ort::ONNXRuntime*)> globalEndJob;
  static Plugin& registered() {
    static Plugin plugin;
    return plugin;
  }
  template <typename T>
  static bool enter() {
    registered() = {T::fillDescriptions, T::initializeGlobalCache,
                    [](const edm::ParameterSet& set, const cms::Ort::ONNXRuntime* cache) { return std::make_unique<T>(set, cache); },
                    T::globalEndJob};
    return true;
  }
};

#define DEFINE_FWK_MODULE(type) static const bool type##_entered = Plugin::enter<type>()
