// libtorch's CUDA graphs as functions of C. No exception leaves them.
//
// The class (ATen/cuda/CUDAGraph.h) lies in libtorch_cuda.so, which a program that is linked for the CPU must do without,
// and its header wants CUDA's. Its functions are therefore looked up by their symbols when a graph is made; streams and
// memory are reached through the interfaces that c10 has for every kind of device.

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/Exception.h>

#include <dlfcn.h>

#include <exception>
#include <map>
#include <optional>
#include <string>
#include <utility>

extern "C" {
extern const char* const unclip_graph_symbols[5];
const char* const unclip_graph_symbols[5] = {
    "_ZN2at4cuda9CUDAGraphC1Eb",
    "_ZN2at4cuda9CUDAGraphD1Ev",
    "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode",
    "_ZN2at4cuda9CUDAGraph11capture_endEv",
    "_ZN2at4cuda9CUDAGraph6replayEv",
};
}

namespace {

constexpr auto kCuda = c10::DeviceType::CUDA;

// cudaStreamCaptureModeThreadLocal: other threads may do what no graph can hold.
constexpr int kThreadLocal = 1;

// The class's functions, with the object as their first argument.
struct Class {
  void (*construct)(void*, bool keep);
  void (*destroy)(void*);
  void (*capture_begin)(void*, std::pair<unsigned long long, unsigned long long> pool, int mode);
  void (*capture_end)(void*);
  void (*replay)(void*);

  Class() {
    find(construct, 0);
    find(destroy, 1);
    find(capture_begin, 2);
    find(capture_end, 3);
    find(replay, 4);
  }

  template <typename Function>
  static void find(Function& function, int n) {
    void* found = dlsym(RTLD_DEFAULT, unclip_graph_symbols[n]);
    TORCH_CHECK(found, "libtorch_cuda.so has no ", unclip_graph_symbols[n]);
    function = reinterpret_cast<Function>(found);
  }

  static const Class& get() {
    static const Class found;
    return found;
  }
};

// The stream that graphs are captured on: one, for libraries keep memory for each that they have met.
c10::Stream capture_stream(c10::Device device) {
  static thread_local std::map<c10::DeviceIndex, c10::Stream> streams;
  auto found = streams.find(device.index());
  if (found == streams.end()) {
    auto stream = c10::impl::getDeviceGuardImpl(kCuda)->getStreamFromGlobalPool(device);
    found = streams.emplace(device.index(), stream).first;
  }
  return found->second;
}

struct Graph {
  // Of libtorch 2.11's class, which takes 104 bytes.
  alignas(16) unsigned char object[1024] = {};
  bool made = false;
  bool capturing = false;
  const c10::impl::DeviceGuardImplInterface* guard;
  c10::Device device;
  c10::Device device_before;
  // Where the thread came from, until it goes back there.
  std::optional<c10::Stream> before;

  explicit Graph(int number)
      : guard(loaded()), device(kCuda, found(number)), device_before(guard->exchangeDevice(device)) {
    guard->synchronizeDevice(device.index());
    before = guard->exchangeStream(capture_stream(device));
  }

  static const c10::impl::DeviceGuardImplInterface* loaded() {
    TORCH_CHECK(c10::impl::hasDeviceGuardImpl(kCuda), "libtorch's CUDA half is not loaded");
    Class::get();
    return c10::impl::getDeviceGuardImpl(kCuda);
  }

  c10::DeviceIndex found(int number) const {
    const int count = guard->deviceCount();
    TORCH_CHECK(number < count, "libtorch finds ", count, " GPUs on this machine");
    return static_cast<c10::DeviceIndex>(number);
  }

  void begin() {
    guard->synchronizeDevice(device.index());
    // What the first run allocated on this stream would lie beside what the graph keeps.
    c10::getDeviceAllocator(kCuda)->emptyCache();
    Class::get().construct(object, false);
    made = capturing = true;
    Class::get().capture_begin(object, {0, 0}, kThreadLocal);
  }

  void end() {
    Class::get().capture_end(object);
    capturing = false;
  }

  void leave() {
    if (!before) {
      return;
    }
    auto stream = *before;
    before.reset();
    guard->exchangeStream(stream);
    guard->synchronizeDevice(device.index());
    guard->setDevice(device_before);
  }

  void destroy() {
    if (made) {
      Class::get().destroy(object);
    }
  }
};

template <typename Work>
const char* refusal(Work&& work) {
  static thread_local std::string reason;
  try {
    work();
    return nullptr;
  } catch (const c10::Error& error) {
    reason = error.what_without_backtrace();
  } catch (const std::exception& error) {
    reason = error.what();
  } catch (...) {
    reason = "an exception that says nothing";
  }
  return reason.c_str();
}

Graph& of(void* graph) {
  return *static_cast<Graph*>(graph);
}

} // namespace

extern "C" {

const char* unclip_graph_new(int device, void** graph) {
  return refusal([&] { *graph = new Graph(device); });
}

const char* unclip_graph_begin(void* graph) {
  return refusal([&] { of(graph).begin(); });
}

const char* unclip_graph_end(void* graph) {
  return refusal([&] { of(graph).end(); });
}

const char* unclip_graph_leave(void* graph) {
  return refusal([&] { of(graph).leave(); });
}

const char* unclip_graph_replay(void* graph) {
  return refusal([&] { Class::get().replay(of(graph).object); });
}

void unclip_graph_free(void* graph) {
  auto* last = static_cast<Graph*>(graph);
  if (!last) {
    return;
  }
  if (last->capturing) {
    refusal([&] { last->end(); });
  }
  refusal([&] { last->leave(); });
  // Where capturing failed, libtorch's allocator goes on to ask the graph about streams: it stays in memory.
  if (!last->capturing) {
    refusal([&] { last->destroy(); });
    delete last;
  }
}
}
