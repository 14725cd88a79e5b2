// libtorch's c10d, and the parts of its autograd that tch has no function for, as functions of C. No exception leaves them.
//
// Each function returns null, or a message that stands until this thread's next such call. Tensors come as tch has them, as
// pointers to at::Tensor.

#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef UNCLIP_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <c10/util/Logging.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace {

using Millis = std::chrono::milliseconds;
using StorePtr = c10::intrusive_ptr<c10d::Store>;
using BackendPtr = c10::intrusive_ptr<c10d::Backend>;
using WorkPtr = c10::intrusive_ptr<c10d::Work>;

template <typename Call>
const char* refusal(Call&& call) {
  static thread_local std::string reason;
  try {
    call();
    return nullptr;
  } catch (const c10::Error& error) {
    reason = error.what_without_backtrace();
  } catch (const std::exception& error) {
    reason = error.what();
  } catch (...) {
    reason = "an exception that says nothing";
  }
  if (reason.empty()) {
    reason = "an exception that says nothing";
  }
  return reason.c_str();
}

const at::Tensor& tensor(const void* pointer) {
  return *static_cast<const at::Tensor*>(pointer);
}

template <typename T>
T& of(void* pointer) {
  return *static_cast<T*>(pointer);
}

c10d::ReduceOp reduce_op(int reduction) {
  switch (reduction) {
    case 0:
      return c10d::ReduceOp::SUM;
    case 1:
      return c10d::ReduceOp::AVG;
    case 2:
      return c10d::ReduceOp::MAX;
    case 3:
      return c10d::ReduceOp::MIN;
  }
  TORCH_CHECK(false, "no reduction ", reduction);
}

BackendPtr make_gloo(const StorePtr& store, int rank, int world, Millis timeout) {
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  // The interfaces of GLOO_SOCKET_IFNAME, as torch's Python half has it.
  const char* names = std::getenv("GLOO_SOCKET_IFNAME");
  std::string rest = names ? names : "";
  while (!rest.empty()) {
    auto comma = rest.find(',');
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(rest.substr(0, comma)));
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  if (options->devices.empty()) {
    options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
  }
  options->threads = static_cast<int>(options->devices.size()) * 2;
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, world, options);
}

BackendPtr make_nccl(const StorePtr& store, int rank, int world, Millis timeout) {
#ifdef UNCLIP_NCCL
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, world, options);
#else
  TORCH_CHECK(false, "NCCL's headers were missing when this was built");
#endif
}

// A closure of Rust's: the gradient of the output to that of the input, or null.
struct Closure : torch::CustomClassHolder {
  at::Tensor* (*call)(void*, at::Tensor*);
  void (*release)(void*);
  void* context;

  Closure(at::Tensor* (*call)(void*, at::Tensor*), void (*release)(void*), void* context)
      : call(call), release(release), context(context) {}

  ~Closure() override {
    release(context);
  }
};

struct WithGradient : torch::autograd::Function<WithGradient> {
  static at::Tensor forward(
      torch::autograd::AutogradContext* ctx,
      const at::Tensor& input,
      const at::Tensor* output,
      c10::intrusive_ptr<Closure> backward) {
    ctx->saved_data["backward"] = c10::IValue::make_capsule(std::move(backward));
    return output->detach();
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* ctx,
      torch::autograd::variable_list gradients) {
    auto holder = ctx->saved_data["backward"].toCapsule();
    auto& closure = static_cast<Closure&>(*holder);
    auto* found = closure.call(closure.context, new at::Tensor(gradients[0]));
    TORCH_CHECK(found, "a collective failed in the backward pass");
    at::Tensor gradient = std::move(*found);
    delete found;
    return {gradient, at::Tensor(), at::Tensor()};
  }
};

} // namespace

extern "C" {

// c10d's own warnings go to standard error, where they would stand among a program's messages; every failure is returned too.
void unclip_c10d_quiet() {
  if (!std::getenv("TORCH_CPP_LOG_LEVEL")) {
    FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  }
}

// With `workers`, the store's host counts this client among those that it waits for: a host in Python never starts without.
const char* unclip_store_new(
    const char* host,
    std::uint16_t port,
    bool is_server,
    std::size_t workers,
    std::int64_t timeout,
    void** store) {
  return refusal([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = is_server;
    options.timeout = Millis(timeout);
    options.waitWorkers = workers > 0;
    if (workers > 0) {
      options.numWorkers = workers;
    }
    *store = new StorePtr(c10::make_intrusive<c10d::TCPStore>(host, options));
  });
}

const char* unclip_store_prefix(void* store, const char* prefix, void** out) {
  return refusal([&] { *out = new StorePtr(c10::make_intrusive<c10d::PrefixStore>(prefix, of<StorePtr>(store))); });
}

const char* unclip_store_set(void* store, const char* key, const std::uint8_t* value, std::size_t length) {
  return refusal([&] { of<StorePtr>(store)->set(key, std::vector<std::uint8_t>(value, value + length)); });
}

// The value stands until this thread's next such call; it is null where there is no such key.
const char* unclip_store_get(void* store, const char* key, const std::uint8_t** value, std::size_t* length) {
  return refusal([&] {
    static thread_local std::vector<std::uint8_t> kept;
    *value = nullptr;
    if (of<StorePtr>(store)->check({key})) {
      kept = of<StorePtr>(store)->get(key);
      // Never null, even where it is empty.
      kept.reserve(1);
      *value = kept.data();
      *length = kept.size();
    }
  });
}

void unclip_store_free(void* store) {
  refusal([&] { delete static_cast<StorePtr*>(store); });
}

const char* unclip_backend_new(void* store, bool is_nccl, int rank, int world, std::int64_t timeout, void** backend) {
  return refusal([&] {
    auto make = is_nccl ? make_nccl : make_gloo;
    *backend = new BackendPtr(make(of<StorePtr>(store), rank, world, Millis(timeout)));
  });
}

const char* unclip_backend_set_timeout(void* backend, std::int64_t timeout) {
  return refusal([&] { of<BackendPtr>(backend)->setTimeout(Millis(timeout)); });
}

void unclip_backend_free(void* backend) {
  refusal([&] { delete static_cast<BackendPtr*>(backend); });
}

const char* unclip_all_reduce(void* backend, const void* values, int reduction, void** work) {
  return refusal([&] {
    std::vector<at::Tensor> tensors{tensor(values).detach()};
    c10d::AllreduceOptions options;
    options.reduceOp = reduce_op(reduction);
    *work = new WorkPtr(of<BackendPtr>(backend)->allreduce(tensors, options));
  });
}

const char* unclip_all_gather(void* backend, const void* output, const void* input, void** work) {
  return refusal([&] {
    auto out = tensor(output).detach();
    auto in = tensor(input).detach();
    *work = new WorkPtr(of<BackendPtr>(backend)->_allgather_base(out, in));
  });
}

const char* unclip_reduce_scatter(void* backend, const void* output, const void* input, int reduction, void** work) {
  return refusal([&] {
    auto out = tensor(output).detach();
    auto in = tensor(input).detach();
    c10d::ReduceScatterOptions options;
    options.reduceOp = reduce_op(reduction);
    *work = new WorkPtr(of<BackendPtr>(backend)->_reduce_scatter_base(out, in, options));
  });
}

const char* unclip_broadcast(void* backend, const void* values, int root, void** work) {
  return refusal([&] {
    std::vector<at::Tensor> tensors{tensor(values).detach()};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    *work = new WorkPtr(of<BackendPtr>(backend)->broadcast(tensors, options));
  });
}

const char* unclip_barrier(void* backend, void** work) {
  return refusal([&] { *work = new WorkPtr(of<BackendPtr>(backend)->barrier()); });
}

// Waits for at most `timeout` milliseconds: then `is_done` is false, and nothing was given up.
const char* unclip_work_wait(void* work, bool is_nccl, std::int64_t timeout, bool* is_done) {
  return refusal([&] {
    auto& waited = of<WorkPtr>(work);
    *is_done = true;
    if (is_nccl) {
      // The stream waits; the host goes on.
      waited->wait();
      return;
    }
    try {
      waited->wait(Millis(timeout));
    } catch (const std::exception&) {
      if (waited->isCompleted()) {
        // What the work threw, also where it ended as the time did.
        waited->wait();
        return;
      }
      *is_done = false;
    }
  });
}

void unclip_work_free(void* work) {
  refusal([&] { delete static_cast<WorkPtr*>(work); });
}

// `output` as a function of `input` whose gradient `call` computes. The closure is released in any case.
const char* unclip_with_gradient(
    const void* input,
    const void* output,
    at::Tensor* (*call)(void*, at::Tensor*),
    void (*release)(void*),
    void* context,
    at::Tensor** result) {
  return refusal([&] {
    auto closure = c10::make_intrusive<Closure>(call, release, context);
    const auto* values = &tensor(output);
    *result = new at::Tensor(WithGradient::apply(tensor(input), values, std::move(closure)));
  });
}
}
