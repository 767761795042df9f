/// What a process may do.
#pragma once

#include <initializer_list>

#include <warren/result.h>

namespace warren {

/// Gives up every capability, and root's identity for that of nobody, for good. Descriptors stay
/// open, and with them what they were opened for. Call it before other threads are made.
[[nodiscard]] Result<> drop_privileges();

/// Gives up every capability (CAP_* of <linux/capability.h>) but these, for good. Root stays the owner
/// of its files. Call it before other threads are made.
[[nodiscard]] Result<> keep_capabilities(std::initializer_list<int> capabilities);

/// Nobody but root reads this process's memory, and no core dump is written.
[[nodiscard]] Result<> hide_memory();

}  // namespace warren
