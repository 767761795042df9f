/// Between the types of people (addresses, tags, users) and the bytes of the maps.
#pragma once

#include <arpa/inet.h>

#include <cstring>

#include "carrier/icmp_carrier.h"

namespace warren::carrier {

inline icmp_address to_map(const IpAddress& address) {
  icmp_address mapped{};
  if (address.ipv6) {
    std::memcpy(&mapped, address.bytes.data(), sizeof mapped);
  } else {
    mapped.word[2] = htonl(0xffff);
    std::memcpy(&mapped.word[3], address.bytes.data(), sizeof mapped.word[3]);
  }
  return mapped;
}

inline IpAddress from_map(const icmp_address& mapped) {
  IpAddress address;
  address.ipv6 = mapped.word[0] != 0 || mapped.word[1] != 0 || mapped.word[2] != htonl(0xffff);
  if (address.ipv6)
    std::memcpy(address.bytes.data(), &mapped, sizeof mapped);
  else
    std::memcpy(address.bytes.data(), &mapped.word[3], sizeof mapped.word[3]);
  return address;
}

inline std::uint8_t to_map(Profile profile) {
  return profile == Profile::tutu ? ICMP_PROFILE_TUTU : ICMP_PROFILE_WARREN;
}
inline Tag tag_from_map(std::uint16_t value, std::uint8_t profile) {
  return {value, profile == ICMP_PROFILE_TUTU ? Profile::tutu : Profile::warren};
}

inline void put_name(char (&field)[ICMP_NAME_SIZE], const std::string& name) {
  std::memset(field, 0, sizeof field);
  name.copy(field, sizeof field - 1);
}
inline std::string get_name(const char (&field)[ICMP_NAME_SIZE]) {
  return {field, ::strnlen(field, sizeof field)};
}

inline icmp_user_key key_of(const Tag& tag) {
  return {.tag = tag.value, .profile = to_map(tag.profile), .pad = 0};
}
inline icmp_server_key key_of(const IcmpServer& server) {
  return {.address = to_map(server.address), .port = htons(server.port), .pad = 0};
}
inline icmp_reply_key reply_key_of(const IcmpServer& server) {
  return {.address = to_map(server.address),
          .tag = server.tag.value,
          .profile = to_map(server.tag.profile),
          .pad = 0};
}

inline IcmpServer from_map(const icmp_server_key& key, const icmp_server& value) {
  return {.address = from_map(key.address),
          .port = ntohs(key.port),
          .tag = tag_from_map(value.tag, value.profile),
          .name = get_name(value.name)};
}

inline icmp_user to_map(const IcmpUser& user) {
  icmp_user value{};
  if (user.from) {
    value.from = to_map(user.from->address);
    value.from_bits =
        static_cast<std::uint8_t>(user.from->length + (user.from->address.ipv6 ? 0 : 96));
  }
  value.first = user.any_first ? ICMP_FIRST_ANY : ICMP_FIRST_WIREGUARD;
  value.port = htons(user.port);
  value.max_age = user.max_age_seconds;
  put_name(value.name, user.name);
  return value;
}

inline IcmpUser from_map(const icmp_user_key& key, const icmp_user& value) {
  IcmpUser user{.name = get_name(value.name),
                .tag = tag_from_map(key.tag, key.profile),
                .port = ntohs(value.port),
                .any_first = value.first == ICMP_FIRST_ANY,
                .max_age_seconds = value.max_age};
  if (value.from_bits != 0) {
    const auto address = from_map(value.from);
    user.from = IpPrefix{address, value.from_bits - (address.ipv6 ? 0U : 96U)};
  }
  return user;
}

}  // namespace warren::carrier
