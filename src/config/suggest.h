/// "Did you mean …?" for keys and names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace warren::config {

/// The number of letters to insert, remove, replace or swap with a neighbour that makes one word of
/// the other.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// `; did you mean "address"?` for the candidate nearest to `word`, or nothing where none is near.
[[nodiscard]] std::string suggest(std::string_view word,
                                  const std::vector<std::string>& candidates);

}  // namespace warren::config
