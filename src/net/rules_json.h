/// Pieces of libnftables-json(5), for the files of this folder that make rules.
#pragma once

#include <nlohmann/json.hpp>

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace warren::net::rules {

using Json = nlohmann::ordered_json;

inline Json meta(const char* key) { return {{"meta", {{"key", key}}}}; }
inline Json ct(const char* key) { return {{"ct", {{"key", key}}}}; }
inline Json payload(const char* protocol, const char* field) {
  return {{"payload", {{"protocol", protocol}, {"field", field}}}};
}
inline Json match(Json left, const char* op, Json right) {
  return {{"match", {{"op", op}, {"left", std::move(left)}, {"right", std::move(right)}}}};
}
inline Json set_to(Json key, Json value) {
  return {{"mangle", {{"key", std::move(key)}, {"value", std::move(value)}}}};
}
inline Json one_of(const std::vector<std::string>& names) { return {{"set", names}}; }
inline Json statement(const char* verdict) { return {{verdict, nullptr}}; }
/// a & mask, as an operand.
inline Json masked(Json value, std::uint32_t mask) { return {{"&", {std::move(value), mask}}}; }
inline Json either(Json a, Json b) { return {{"|", {std::move(a), std::move(b)}}}; }

/// Builds what stands between the brackets of {"nftables":[…]}, for one table.
class Table {
 public:
  Table(std::string family, std::string name)
      : family_(std::move(family)), name_(std::move(name)) {}

  /// A base chain; `device` for those of the family netdev.
  void chain(const char* chain, const char* type, const char* hook, int priority,
             const std::string& device = {}) {
    Json body = {{"family", family_}, {"table", name_},   {"name", chain},     {"type", type},
                 {"hook", hook},      {"prio", priority}, {"policy", "accept"}};
    if (!device.empty()) body["dev"] = device;
    append({{"add", {{"chain", std::move(body)}}}});
  }
  void rule(const char* chain, std::vector<Json> expressions, const std::string& comment = {}) {
    Json body = {
        {"family", family_}, {"table", name_}, {"chain", chain}, {"expr", std::move(expressions)}};
    if (!comment.empty()) body["comment"] = comment;
    append({{"add", {{"rule", std::move(body)}}}});
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void append(const Json& command) {
    if (!text_.empty()) text_ += ',';
    text_ += command.dump();
  }
  std::string family_, name_, text_;
};

}  // namespace warren::net::rules
