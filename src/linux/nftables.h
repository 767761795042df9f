/// nf_tables through `nft -j -f -`, in the calling thread's network namespace.
///
/// nft is a child process and not a library, because libnftables may not be linked beside OpenSSL
/// (GPL-2 only). What is sent is one transaction: all of it happens, or nothing.
///
/// Source: libnftables-json(5).
#pragma once

#include <string>
#include <string_view>

#include <warren/result.h>

namespace warren::nftables {

/// A whole request, {"nftables":[…]}. ENOENT where there is no nft program.
Result<> apply(const std::string& json);
/// Asks the kernel whether it would take it, and changes nothing.
[[nodiscard]] Result<> check(const std::string& json);
[[nodiscard]] Result<bool> has_table(const std::string& family, const std::string& name);
/// No error where it is not there.
Result<> delete_table(const std::string& family, const std::string& name);

}  // namespace warren::nftables
