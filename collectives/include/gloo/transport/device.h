// Types of gloo that ProcessGroupGloo.hpp holds pointers to. They lie in libtorch_cpu.so.
#pragma once

namespace gloo {
namespace transport {

class Device;

struct UnboundBuffer {
  virtual ~UnboundBuffer();
};

} // namespace transport
} // namespace gloo
