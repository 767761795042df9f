#include "linux/kernel_version.h"

#include <sys/utsname.h>

#include <cstdio>
#include <utility>

namespace warren {

bool kernel_is_at_least(int major, int minor) noexcept {
  utsname name{};
  ::uname(&name);
  std::pair running{0, 0};
  std::sscanf(name.release, "%d.%d", &running.first, &running.second);
  return running >= std::pair{major, minor};
}

}  // namespace warren
