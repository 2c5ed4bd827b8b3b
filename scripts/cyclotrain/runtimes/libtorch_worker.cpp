// Run a model in this LibTorch for another process: batches from stdin, answers to stdout. `libtorch.py` is the other side.
//
//   libtorch_worker                                          says which release it was compiled for
//   libtorch_worker MODEL KEY OPTIMISATION:THREADS ...       a session for each pair; KEY: where MODEL holds its contract
//
// MODEL is TorchScript, or a package of AOTInductor if its name ends with .pt2. OPTIMISATION: disable_all runs TorchScript as
// the file has it, enable_all freezes it, as CMSSW does by default. THREADS call one model at the same time, each on one thread,
// as the streams of CMSSW do.
//
// A request is a line of words, then a batch or several: a line "ARRAYS RANK SIZE ... RANK SIZE ...", then float32 values.
//   inputs N                               then N lines "SET NAME" by position; SET 0: a number per example, else the set's index
//   run SESSIONS SESSION ...               one batch; an array [threads, examples, columns] of each session
//   time SESSION WARM_UP REPEATS BATCHES   seconds of each call of each batch, by one thread
// A reply is a message of worker.py: a line of JSON, then float32 values. Memory is in MB.
//
// Packages of AOTInductor check nothing but the number of inputs, so all shapes are checked here.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/api/include/torch/version.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

// the first release that runs packages which later releases make
#define HAS_AOT_INDUCTOR (TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 10))
#if HAS_AOT_INDUCTOR
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;
using Tensors = std::vector<at::Tensor>;

const std::string kVersion =
    std::to_string(TORCH_VERSION_MAJOR) + "." + std::to_string(TORCH_VERSION_MINOR) + "." + std::to_string(TORCH_VERSION_PATCH);

std::runtime_error error_of(const std::ostringstream& text) { return std::runtime_error(text.str()); }

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// --- models

class Model {
 public:
  virtual ~Model() = default;
  virtual Tensors run(const Tensors& inputs) = 0;
  std::string contract;
};

class TorchScript : public Model {
 public:
  TorchScript(const std::string& path, const std::string& key, bool frozen) {
    torch::jit::ExtraFilesMap extra{{key, ""}};
    module_ = torch::jit::load(path, c10::Device(c10::kCPU), extra);
    module_.eval();
    if (frozen) module_ = torch::jit::freeze(module_);
    contract = extra[key];
  }

  Tensors run(const Tensors& inputs) override {
    const c10::IValue answer = module_.forward(std::vector<c10::IValue>(inputs.begin(), inputs.end()));
    if (answer.isTensor()) return {answer.toTensor()};
    Tensors outputs;
    for (const auto& output : answer.toTupleRef().elements()) outputs.push_back(output.toTensor());
    return outputs;
  }

 private:
  torch::jit::Module module_;
};

#if HAS_AOT_INDUCTOR
class AotInductor : public Model {
 public:
  AotInductor(const std::string& path, const std::string& key, int threads)
      : loader_(path, "model", threads == 1, threads) {  // as many copies of the state as threads, else they wait for each other
    contract = loader_.get_metadata()[key];
  }

  Tensors run(const Tensors& inputs) override { return loader_.run(inputs); }

 private:
  torch::inductor::AOTIModelPackageLoader loader_;
};
#endif

bool is_package(const std::string& path) { return path.size() >= 4 && path.compare(path.size() - 4, 4, ".pt2") == 0; }

struct Session {
  std::shared_ptr<Model> model;
  int threads;
};

// One model for all sessions that may share it.
std::vector<Session> open_sessions(const std::string& path, const std::string& key, const std::vector<std::string>& settings) {
  if (!std::ifstream(path).good()) throw std::runtime_error("there is no file " + path + ", or it cannot be read");
  std::map<std::string, std::shared_ptr<Model>> models;
  std::vector<Session> sessions;
  for (const std::string& setting : settings) {
    const auto colon = setting.find(':');
    const std::string optimisation = setting.substr(0, colon);
    const int threads = std::stoi(setting.substr(colon + 1));
    const std::string kind = is_package(path) ? std::to_string(threads) : optimisation;
    std::shared_ptr<Model>& model = models[kind];
    if (!model) {
      if (!is_package(path)) {
        model = std::make_shared<TorchScript>(path, key, optimisation != "disable_all");
      } else {
#if HAS_AOT_INDUCTOR
        model = std::make_shared<AotInductor>(path, key, threads);
#else
        throw std::runtime_error("LibTorch " + kVersion + " cannot run packages of AOTInductor that later releases make");
#endif
      }
    }
    sessions.push_back({model, threads});
  }
  return sessions;
}

// --- inputs and outputs

struct Input {
  int set;
  std::string name;
};

void check(const Tensors& batch, const std::vector<Input>& inputs) {
  std::ostringstream text;
  if (batch.size() != inputs.size()) {
    text << "the model takes " << inputs.size() << " inputs, not " << batch.size();
    throw error_of(text);
  }
  std::map<int, std::size_t> first_of_set;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    text << "input " << i << " ('" << inputs[i].name << "') ";
    if (batch[i].dim() != 2) {
      text << "has " << batch[i].dim() << " dimensions, not 2";
      throw error_of(text);
    }
    const int64_t examples = batch[i].size(0), length = batch[i].size(1);
    if (examples < 1 || examples != batch[0].size(0)) {
      text << "has " << examples << " examples; the first one has " << batch[0].size(0) << ", and at least 1 is needed";
      throw error_of(text);
    }
    if (inputs[i].set == 0 && length != 1) {
      text << "has the length " << length << ", but it is one number per example";
      throw error_of(text);
    }
    const std::size_t first = first_of_set.emplace(inputs[i].set, i).first->second;
    if (length < 1 || length != batch[first].size(1)) {
      text << "has the length " << length << "; '" << inputs[first].name << "' of the same set has " << batch[first].size(1)
           << ", and at least 1 is needed";
      throw error_of(text);
    }
    text.str("");
  }
}

at::Tensor side_by_side(const Tensors& outputs) {
  for (const at::Tensor& output : outputs) {
    if (output.dim() != 2 || output.scalar_type() != at::kFloat) {
      std::ostringstream text;
      text << "an output is " << output.scalar_type() << " with " << output.dim() << " dimensions, not float32 with 2";
      throw error_of(text);
    }
  }
  return at::cat(outputs, 1).contiguous();
}

// The answers [threads, examples, columns] of threads that call one model at the same time.
at::Tensor answers(const Session& session, const Tensors& batch, double& seconds) {
  if (session.threads == 1) {
    const auto start = Clock::now();
    const Tensors outputs = session.model->run(batch);
    seconds = seconds_since(start);
    return at::stack({side_by_side(outputs)});
  }
  std::vector<Tensors> outputs(session.threads);
  std::vector<std::exception_ptr> errors(session.threads);
  std::promise<void> start_signal;
  const std::shared_future<void> started = start_signal.get_future().share();
  std::vector<std::thread> threads;
  for (int i = 0; i < session.threads; ++i) {
    threads.emplace_back([&, i] {
      const c10::InferenceMode inference;  // of this thread only
      started.wait();
      try {
        outputs[i] = session.model->run(batch);
      } catch (...) {
        errors[i] = std::current_exception();
      }
    });
  }
  const auto start = Clock::now();
  start_signal.set_value();
  for (std::thread& thread : threads) thread.join();
  seconds = seconds_since(start);
  Tensors parts;
  for (int i = 0; i < session.threads; ++i) {
    if (errors[i]) std::rethrow_exception(errors[i]);
    parts.push_back(side_by_side(outputs[i]));
  }
  return at::stack(parts);
}

// --- messages

Tensors read_batch() {
  std::string line;
  std::getline(std::cin, line);
  std::istringstream words(line);
  std::size_t arrays = 0;
  words >> arrays;
  Tensors batch;
  for (std::size_t i = 0; i < arrays; ++i) {
    std::size_t rank = 0;
    words >> rank;
    std::vector<int64_t> sizes(rank);
    for (int64_t& size : sizes) words >> size;
    batch.push_back(at::empty(sizes, at::kFloat));
  }
  for (at::Tensor& array : batch) {
    std::cin.read(static_cast<char*>(array.data_ptr()), static_cast<std::streamsize>(array.nbytes()));
  }
  return batch;
}

std::string json_text(const std::string& text) {
  std::ostringstream json;
  json << '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json << '\\' << c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[7];
      std::snprintf(code, sizeof code, "\\u%04x", c);
      json << code;
    } else {
      json << c;
    }
  }
  json << '"';
  return json.str();
}

std::string numbers(const std::vector<double>& values) {
  std::ostringstream json;
  json.precision(9);
  json << '[';
  for (std::size_t i = 0; i < values.size(); ++i) json << (i ? "," : "") << values[i];
  json << ']';
  return json.str();
}

// Memory of this process, `VmRSS` now or `VmHWM` at its peak; null without /proc.
std::string memory(const std::string& kind) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kilobytes = 0;
    if (word == kind + ":" && status >> kilobytes) return std::to_string(kilobytes / 1024);
  }
  return "null";
}

FILE* replies = nullptr;

void reply(const std::string& content, const std::map<std::string, at::Tensor>& arrays = {}) {
  std::ostringstream json;
  json << '{' << content << ", \"arrays\": [";
  const char* comma = "";
  for (const auto& [name, array] : arrays) {
    json << comma << "[" << json_text(name) << ", [";
    for (int64_t i = 0; i < array.dim(); ++i) json << (i ? "," : "") << array.size(i);
    json << "]]";
    comma = ", ";
  }
  json << "]}\n";
  const std::string header = json.str();
  std::fwrite(header.data(), 1, header.size(), replies);
  for (const auto& [name, array] : arrays) std::fwrite(array.data_ptr(), 1, array.nbytes(), replies);
  std::fflush(replies);
}

// An error in words, without the stack of C++ functions.
void reply_error() {
  try {
    throw;
  } catch (const c10::Error& error) {
    reply("\"error\": " + json_text(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    reply("\"error\": " + json_text(error.what()));
  } catch (...) {
    reply("\"error\": \"unknown\"");
  }
}

// --- requests

std::vector<Input> read_inputs(std::istringstream& words) {
  std::size_t n = 0;
  words >> n;
  std::vector<Input> inputs(n);
  for (Input& input : inputs) {
    std::string line;
    std::getline(std::cin, line);
    std::istringstream parts(line);
    parts >> input.set;
    parts.get();  // the space before the name, which may have spaces itself
    std::getline(parts, input.name);
  }
  return inputs;
}

void run(std::istringstream& words, const std::vector<Session>& sessions, const std::vector<Input>& inputs) {
  std::size_t n = 0;
  words >> n;
  std::vector<std::size_t> asked(n);
  for (std::size_t& session : asked) words >> session;
  const Tensors batch = read_batch();
  check(batch, inputs);
  std::map<std::string, at::Tensor> arrays;
  std::vector<double> seconds(n);
  for (std::size_t i = 0; i < n; ++i) {
    arrays[std::to_string(asked[i])] = answers(sessions.at(asked[i]), batch, seconds[i]);
  }
  reply("\"seconds\": " + numbers(seconds) + ", \"memory\": " + memory("VmHWM"), arrays);
}

void time(std::istringstream& words, const std::vector<Session>& sessions, const std::vector<Input>& inputs) {
  std::size_t session = 0, warm_up = 0, repeats = 0, n = 0;
  words >> session >> warm_up >> repeats >> n;
  std::vector<Tensors> batches(n);
  for (Tensors& batch : batches) batch = read_batch();
  for (const Tensors& batch : batches) check(batch, inputs);
  Model& model = *sessions.at(session).model;
  for (std::size_t i = 0; i < warm_up; ++i) model.run(batches[i % n]);
  std::vector<double> seconds;
  for (const Tensors& batch : batches) {
    for (std::size_t i = 0; i < repeats; ++i) {
      const auto start = Clock::now();
      const Tensors outputs = model.run(batch);
      seconds.push_back(seconds_since(start));
    }
  }
  reply("\"seconds\": " + numbers(seconds) + ", \"memory\": " + memory("VmHWM"));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cout << kVersion << '\n';
    return argc == 1 ? 0 : 2;
  }
  replies = fdopen(dup(STDOUT_FILENO), "wb");
  dup2(STDERR_FILENO, STDOUT_FILENO);  // a library must not print into the messages
  at::set_num_threads(1);
  at::set_num_interop_threads(1);
  const c10::InferenceMode inference;
  std::vector<Session> sessions;
  std::vector<Input> inputs;
  try {
    const std::string before = memory("VmHWM");
    const auto start = Clock::now();
    sessions = open_sessions(argv[1], argv[2], std::vector<std::string>(argv + 3, argv + argc));
    const double seconds = seconds_since(start);
    reply("\"version\": " + json_text(kVersion) + ", \"contract\": " + json_text(sessions[0].model->contract) +
          ", \"load_seconds\": " + std::to_string(seconds) + ", \"memory\": " + before);
  } catch (...) {
    reply_error();
    return 0;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string request;
    words >> request;
    try {
      if (request == "inputs") inputs = read_inputs(words);
      if (request == "run") run(words, sessions, inputs);
      if (request == "time") time(words, sessions, inputs);
    } catch (...) {
      reply_error();
    }
  }
}
