/// Who is carried, with all that was counted: in the tables and, lately, in the programs' cache.
#pragma once

#include <utility>
#include <vector>

#include <warren/result.h>

#include "carrier/icmp_objects.h"

namespace warren::carrier {

struct CountedTables {
  std::vector<std::pair<icmp_server_key, icmp_server>>
      servers;  ///< with what their replies counted
  std::vector<std::pair<icmp_user_key, icmp_user>> users;
};

[[nodiscard]] Result<CountedTables> read_counted_tables(const IcmpMaps& maps);

}  // namespace warren::carrier
