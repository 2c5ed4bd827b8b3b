// Stand-ins for the classes of CMSSW that a generated producer uses, with only the members that it needs: a parameter set is a
// map, an event has products by label and instance. PhysicsTools/ has the classes around the runtimes, with the real ones underneath.
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
    InputTag(std::string label, std::string instance = "") : label_(std::move(label)), instance_(std::move(instance)) {
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
    void addWithDefaultLabel(const ParameterSetDescription& description) { defaults_ = description.defaults(); }
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
    // What the driver knows of a producer.
    class Produces {
    public:
      virtual ~Produces() = default;
      virtual void produce(Event&, const EventSetup&) = 0;
      const std::vector<std::string>& produced() const { return produced_; }

    protected:
      std::vector<std::string> produced_;
    };

    template <typename Cache>
    class EDProducer : public Produces {
    public:
      using CacheType = typename Cache::Type;
      void set_global_cache(const CacheType* cache) { cache_ = cache; }

    protected:
      template <typename T>
      EDGetTokenT<T> consumes(const InputTag& tag) {
        return {tag};
      }
      template <typename T>
      void produces(const std::string& instance) {
        require_alphanumeric(instance);
        this->produced_.push_back(instance);
      }
      const CacheType* globalCache() const { return cache_; }

    private:
      const CacheType* cache_ = nullptr;
    };
  }  // namespace stream
}  // namespace edm

// What the framework does with a plugin, for a driver that does not know its class.
class Plugin {
public:
  using Cache = std::shared_ptr<const void>;
  std::function<void(edm::ConfigurationDescriptions&)> fillDescriptions;
  std::function<Cache(const edm::ParameterSet&)> initializeGlobalCache;
  std::function<std::unique_ptr<edm::stream::Produces>(const edm::ParameterSet&, const Cache&)> make;
  std::function<void(const Cache&)> globalEndJob;
  static Plugin& registered() {
    static Plugin plugin;
    return plugin;
  }
  template <typename T>
  static bool enter() {
    const auto typed = [](const Cache& cache) { return static_cast<const typename T::CacheType*>(cache.get()); };
    registered() = {T::fillDescriptions,
                    [](const edm::ParameterSet& set) { return Cache(T::initializeGlobalCache(set)); },
                    [typed](const edm::ParameterSet& set, const Cache& cache) {
                      auto producer = std::make_unique<T>(set, typed(cache));
                      producer->set_global_cache(typed(cache));
                      return producer;
                    },
                    [typed](const Cache& cache) { T::globalEndJob(typed(cache)); }};
    return true;
  }
};

#define DEFINE_FWK_MODULE(type) static const bool type##_entered = Plugin::enter<type>()
