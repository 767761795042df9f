/// What a process may do.
#pragma once

#include <warren/result.h>

namespace warren {

/// Gives up every capability, and root's identity for that of nobody, for good. Descriptors stay
/// open, and with them what they were opened for. Call it before other threads are made.
[[nodiscard]] Result<> drop_privileges();

}  // namespace warren
