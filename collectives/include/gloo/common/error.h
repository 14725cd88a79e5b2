// Named by ProcessGroupGloo.hpp, which uses nothing of it.
#pragma once
