// Stand-ins for the classes of CMSSW that a generated alpaka producer uses, on the host: structures of arrays with columns aligned to
// 128 bytes, collections, the event, and PhysicsTools/PyTorchAlpaka with the real LibTorch underneath. An Eigen vector is only its
// length here.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "PhysicsTools/PyTorch/interface/Model.h"
#include "standin.h"

namespace Eigen {
  template <typename T, int N>
  struct Vector {
    using Scalar = T;
    static constexpr int RowsAtCompileTime = N;
  };
}  // namespace Eigen

namespace cms::soa {
  using size_type = int32_t;
  constexpr size_t defaultAlignment = 128;

  template <typename T>
  struct Kind {
    using Scalar = T;
    static constexpr int rows = 1;
  };
  template <typename T, int N>
  struct Kind<Eigen::Vector<T, N>> {
    using Scalar = T;
    static constexpr int rows = N;
  };

  // Values of a column with the place between them: those of one row lie side by side with those of the other elements.
  template <typename T, typename Pointer>
  struct SoAParametersImpl {
    using ValueType = T;
    Pointer data_;
    Pointer data() const { return data_; }
  };

  // One element: [row] of an Eigen vector, a plain number if there is one row.
  template <typename T>
  struct EigenElement {
    T* first;
    size_t stride;
    T& operator[](int row) const { return first[row * stride]; }
  };

  template <typename Layout, bool is_const>
  class View {
  public:
    using Bytes = std::conditional_t<is_const, const std::byte, std::byte>;
    template <typename T>
    using Pointer = std::conditional_t<is_const, const T*, T*>;
    struct Metadata {
      size_type n;
      size_type size() const { return n; }
    };
    View(Bytes* data, const Layout& layout) : data_(data), layout_(&layout) {}
    Metadata metadata() const { return {layout_->size()}; }
    auto records() const { return typename Layout::template Records<View>{*this}; }
    auto operator[](size_t i) const { return typename Layout::template Element<View>{*this, i}; }

    template <typename T>
    auto column(size_t at) const {
      return reinterpret_cast<Pointer<typename Kind<T>::Scalar>>(data_ + at);
    }
    const Layout& layout() const { return *layout_; }

  private:
    Bytes* data_;
    const Layout* layout_;
  };

  template <size_t alignment>
  class LayoutBase {
  public:
    explicit LayoutBase(size_type size) : size_(size) {}
    size_type size() const { return size_; }
    size_t bytes() const { return bytes_; }
    // Values of a row, with those that fill it up.
    size_t stride() const {
      constexpr size_t bunch = alignment / sizeof(float);
      return (size_ + bunch - 1) / bunch * bunch;
    }

  protected:
    template <typename T>
    size_t place() {
      const size_t at = bytes_;
      bytes_ += stride() * Kind<T>::rows * sizeof(typename Kind<T>::Scalar);
      return at;
    }

  private:
    size_type size_;
    size_t bytes_ = 0;
  };
}  // namespace cms::soa

// Calls a macro with each tuple.
#define STANDIN_AGAIN1(...) __VA_ARGS__
#define STANDIN_AGAIN2(...) STANDIN_AGAIN1(STANDIN_AGAIN1(STANDIN_AGAIN1(STANDIN_AGAIN1(__VA_ARGS__))))
#define STANDIN_AGAIN3(...) STANDIN_AGAIN2(STANDIN_AGAIN2(STANDIN_AGAIN2(STANDIN_AGAIN2(__VA_ARGS__))))
#define STANDIN_AGAIN4(...) STANDIN_AGAIN3(STANDIN_AGAIN3(STANDIN_AGAIN3(STANDIN_AGAIN3(__VA_ARGS__))))
#define STANDIN_PARENTHESES ()
#define STANDIN_ONE(macro, tuple, ...) macro tuple __VA_OPT__(STANDIN_NEXT STANDIN_PARENTHESES(macro, __VA_ARGS__))
#define STANDIN_NEXT() STANDIN_ONE
#define STANDIN_EACH(macro, ...) STANDIN_AGAIN4(STANDIN_ONE(macro, __VA_ARGS__))

#define SOA_COLUMN(type, name) (type, name)
#define SOA_EIGEN_COLUMN(type, name) (type, name)
#define STANDIN_PLACE(type, name) size_t name##_at = this->template place<type>();
#define STANDIN_RECORD(type, name)                                                          \
  auto name() const {                                                                       \
    const auto data = view.template column<type>(view.layout().name##_at);                  \
    return std::make_tuple(cms::soa::SoAParametersImpl<type, decltype(data)>{data}, view.layout().size()); \
  }
#define STANDIN_ELEMENT(type, name)                                                   \
  decltype(auto) name() const {                                                       \
    auto data = view.template column<type>(view.layout().name##_at) + i;              \
    if constexpr (std::is_arithmetic_v<type>)                                         \
      return *data;                                                                   \
    else                                                                              \
      return cms::soa::EigenElement<std::remove_pointer_t<decltype(data)>>{data, view.layout().stride()}; \
  }
#define GENERATE_SOA_LAYOUT(Name, ...)                                                       \
  template <size_t ALIGNMENT = cms::soa::defaultAlignment, bool ALIGNMENT_ENFORCEMENT = false> \
  struct Name : public cms::soa::LayoutBase<ALIGNMENT> {                                      \
    using cms::soa::LayoutBase<ALIGNMENT>::LayoutBase;                                        \
    static constexpr size_t alignment = ALIGNMENT;                                            \
    STANDIN_EACH(STANDIN_PLACE, __VA_ARGS__)                                                  \
    template <typename AnyView>                                                               \
    struct Records {                                                                          \
      AnyView view;                                                                           \
      STANDIN_EACH(STANDIN_RECORD, __VA_ARGS__)                                               \
    };                                                                                        \
    template <typename AnyView>                                                               \
    struct Element {                                                                          \
      AnyView view;                                                                           \
      size_t i;                                                                               \
      STANDIN_EACH(STANDIN_ELEMENT, __VA_ARGS__)                                              \
    };                                                                                        \
  };

#define ALPAKA_ACCELERATOR_NAMESPACE alpaka_serial_sync

namespace alpaka_serial_sync {
  struct Queue {};
}  // namespace alpaka_serial_sync

template <typename T>
class PortableHostCollection {
public:
  PortableHostCollection(int32_t elements, const alpaka_serial_sync::Queue&)
      : layout_(elements),
        data_(static_cast<std::byte*>(::operator new[](layout_.bytes() + 1, std::align_val_t(T::alignment)))) {
    std::memset(data_.get(), 0xFF, layout_.bytes());  // NaN, as memory that nobody filled
  }
  auto view() { return cms::soa::View<T, false>(data_.get(), layout_); }
  auto const_view() const { return cms::soa::View<T, true>(data_.get(), layout_); }

private:
  struct Free {
    void operator()(std::byte* data) const { ::operator delete[](data, std::align_val_t(T::alignment)); }
  };
  T layout_;
  std::unique_ptr<std::byte, Free> data_;
};

#define ASSERT_DEVICE_MATCHES_HOST_COLLECTION(DEVICE, HOST) \
  static_assert(std::is_same_v<alpaka_serial_sync::DEVICE, ::HOST>)

namespace alpaka_serial_sync {
  template <typename T>
  using PortableCollection = PortableHostCollection<T>;

  namespace device {
    template <typename T>
    struct EDGetToken {
      edm::InputTag tag;
    };
    template <typename T>
    struct EDPutToken {};

    class Event {
    public:
      Queue& queue() { return queue_; }
      template <typename T>
      const T& get(const EDGetToken<T>& token) const {
        return *std::static_pointer_cast<const T>(products_.at(token.tag.label()));
      }
      template <typename T>
      void emplace(const EDPutToken<T>&, T&& product) {
        put("this", std::make_shared<T>(std::move(product)));
      }
      void put(const std::string& label, std::shared_ptr<const void> product) { products_[label] = std::move(product); }

    private:
      Queue queue_;
      std::map<std::string, std::shared_ptr<const void>> products_;
    };
    class EventSetup {};
  }  // namespace device

  namespace stream {
    struct Produces {
      virtual ~Produces() = default;
      virtual void produce(device::Event&, const device::EventSetup&) = 0;
    };

    template <typename...>
    class EDProducer : public Produces {
    protected:
      explicit EDProducer(const edm::ParameterSet&) {}
      struct Consumed {
        edm::InputTag tag;
        template <typename T>
        operator device::EDGetToken<T>() const {
          return {tag};
        }
      };
      struct Produced {
        template <typename T>
        operator device::EDPutToken<T>() const {
          return {};
        }
      };
      Consumed consumes(const edm::InputTag& tag) { return {tag}; }
      Produced produces() { return {}; }
    };
  }  // namespace stream
}  // namespace alpaka_serial_sync

namespace cms::torch::alpakatools {
  template <typename Queue>
  class TensorCollection {
  public:
    explicit TensorCollection(int total_size) : size_(total_size) {}

    // Columns that lie side by side make one tensor, [elements, columns] or, of one Eigen vector, [elements, rows].
    template <typename Layout, typename Column, typename... Others>
    void add(const std::string&, std::tuple<Column, soa::size_type> column, std::tuple<Others, soa::size_type>... others) {
      using Kind = soa::Kind<typename Column::ValueType>;
      static_assert((std::is_same_v<Column, Others> && ...) && (sizeof...(Others) == 0 || Kind::rows == 1));
      const auto first = std::get<0>(column).data();
      const int64_t bunch = Layout::alignment / sizeof(typename Kind::Scalar), stride = (size_ + bunch - 1) / bunch * bunch;
      int64_t columns = 1;
      ((assert(std::get<0>(others).data() == first + columns * stride), ++columns), ...);
      const auto data = const_cast<typename Kind::Scalar*>(first);
      auto tensor = ::torch::from_blob(data, {size_, columns * Kind::rows}, {1, stride}, ::torch::kFloat32);
      if constexpr (std::is_const_v<std::remove_pointer_t<decltype(first)>>) {
        // CMSSW copies these bytes and keeps the strides
        auto copy = ::torch::empty_strided(tensor.sizes(), tensor.strides(), tensor.options());
        tensor = copy.copy_(tensor);
      }
      tensors.push_back(std::move(tensor));
    }

    std::vector<::torch::Tensor> tensors;

  private:
    int64_t size_;
  };
}  // namespace cms::torch::alpakatools

namespace alpaka_serial_sync::torch {
  class AlpakaModel : public cms::torch::Model {
  public:
    using cms::torch::Model::Model;

    void forward(Queue&, cms::torch::alpakatools::TensorCollection<Queue>& inputs,
                 cms::torch::alpakatools::TensorCollection<Queue>& outputs) {
      const auto answer = model_.forward({inputs.tensors.begin(), inputs.tensors.end()});
      for (size_t i = 0; i < outputs.tensors.size(); ++i)
        outputs.tensors[i].copy_((answer.isTuple() ? answer.toTupleRef().elements().at(i) : answer).toTensor());
    }
  };
}  // namespace alpaka_serial_sync::torch

class AlpakaPlugin {
public:
  std::function<void(edm::ConfigurationDescriptions&)> fillDescriptions;
  std::function<std::unique_ptr<alpaka_serial_sync::stream::Produces>(const edm::ParameterSet&)> make;
  static AlpakaPlugin& registered() {
    static AlpakaPlugin plugin;
    return plugin;
  }
  template <typename T>
  static bool enter() {
    registered() = {T::fillDescriptions, [](const edm::ParameterSet& set) { return std::make_unique<T>(set); }};
    return true;
  }
};

#define DEFINE_FWK_ALPAKA_MODULE(type) static const bool type##_entered = AlpakaPlugin::enter<alpaka_serial_sync::type>()
