// The one function of gloo's context that ProcessGroupGloo.hpp calls inline. The class itself lies in libtorch_cpu.so.
#pragma once

#include <chrono>

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

} // namespace gloo
